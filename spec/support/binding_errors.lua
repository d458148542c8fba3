-- How the specs of the binding look at errors: the same call on both modules, which must say the
-- same.
local safe = require "zenlayer.safe"
local zenlayer = require "zenlayer"

local binding_errors = {}

-- Nothing listens there: what is not refused before it is sent is at least refused then.
binding_errors.NOWHERE = "https://127.0.0.1:1"

function binding_errors.options(options)
    local all = {
        access_key_id = "KEY", access_key_password = "pa55-word-of-tests", max_attempts = 1,
        endpoint = binding_errors.NOWHERE, proxy = false,
    }
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    return all
end

local function compare(a, b, path)
    if type(a) == "table" and type(b) == "table" then
        for key in pairs(a) do
            compare(a[key], b[key], path .. "." .. tostring(key))
        end
        for key in pairs(b) do
            compare(a[key], b[key], path .. "." .. tostring(key))
        end
    elseif a ~= b and (a == a or b == b) then
        error(("%s: %s is not %s"):format(path, tostring(a), tostring(b)), 0)
    end
end

-- Both tables have the same fields, all the way down.
binding_errors.same = function(a, b)
    compare(a, b, "error")
end

-- call(module) fails on both modules, once by raising and once by returning exactly nil and the
-- error, with the same fields. Returns the error.
function binding_errors.caught(call)
    local ok, raised = pcall(call, zenlayer)
    if ok then
        error("nothing was raised", 2)
    elseif not zenlayer.is_error(raised) then
        error("what was raised is no structured error: " .. tostring(raised), 2)
    end
    local returned = table.pack(call(safe))
    if returned.n ~= 2 or returned[1] ~= nil or not safe.is_error(returned[2]) then
        error("the safe module did not return nil, err but: " .. tostring(returned[1]), 2)
    end
    binding_errors.same(raised, returned[2])
    return raised
end

-- The same for an argument: it is refused before anything is sent, and the message begins with its
-- place. `expected` has where, code (INVALID_ARGUMENT) and text (a part of the message).
function binding_errors.refused(expected, call)
    local ok, err = pcall(binding_errors.caught, call)
    if not ok then
        error(tostring(err) .. ", for " .. tostring(expected.where), 2)
    end
    local wanted = {
        kind = "argument", outcome = "not_sent", retryable = false,
        code = expected.code or "INVALID_ARGUMENT", where = expected.where,
    }
    for name, value in pairs(wanted) do
        if err[name] ~= value then
            error(("%s is %s, not %s, in: %s"):format(name, tostring(err[name]), tostring(value),
                tostring(err)), 2)
        end
    end
    local message = err.message
    if expected.where and message:sub(1, #expected.where + 2) ~= expected.where .. ": " then
        error("the message does not begin with the place: " .. message, 2)
    end
    if expected.text and not message:find(expected.text, 1, true) then
        error(("%q is not in: %s"):format(expected.text, message), 2)
    end
    return err
end

return binding_errors
