-- What the specs say about errors, batches and answers.
local zenlayer = require "zenlayer"

local expect = {}

expect.ABSENT = {} -- in place of a value: the field must not be there

-- nil, err came back, err is an error by `is_error` (the module's), and has these fields. Returns
-- err.
function expect.failure_by(is_error, expected, result, err, more)
    if result ~= nil then
        error("it went well, but should fail with " .. tostring(expected.code), 3)
    end
    if not is_error(err) or more ~= nil then
        error("not one structured error: " .. tostring(err) .. ", " .. tostring(more), 3)
    end
    for name, value in pairs(expected) do
        local wanted = value
        if value == expect.ABSENT then
            wanted = nil
        end
        if err[name] ~= wanted then
            error(("%s is %s, not %s, in: %s"):format(name, tostring(err[name]), tostring(wanted),
                tostring(err)), 3)
        end
    end
    return err
end

function expect.failure(...)
    -- Not a tail call: the complaint is to name who called this.
    local err = expect.failure_by(zenlayer.is_error, ...)
    return err
end

-- It went well: returns what came back.
function expect.success(result, ...)
    if result == nil then
        error("it failed: " .. tostring((...)), 2)
    end
    return result, ...
end

-- The batches hold these ids, each exactly once, in order, a hundred a batch.
function expect.partition(ids, batches)
    local held, full = {}, #batches
    for i, batch in ipairs(batches) do
        if i < full and #batch.instance_ids ~= 100 or #batch.instance_ids > 100 then
            error(("batch %d has %d ids"):format(i, #batch.instance_ids), 2)
        end
        table.move(batch.instance_ids, 1, #batch.instance_ids, #held + 1, held)
    end
    if table.concat(held, " ") ~= table.concat(ids, " ") then
        error("the batches hold other ids, or in another order", 2)
    end
end

expect.texts = require "texts"

return expect
