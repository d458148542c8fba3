-- Error objects: how they print, what they hold, and what is none.
local cjson = require "cjson"
local errors = require "binding_errors"
local every_lua = require "every_lua"
local process = require "process"
local property = require "binding_property"
local safe = require "zenlayer.safe"
local sandbox = require "binding_sandbox"
local zenlayer = require "zenlayer"

local function argument_error()
    local _, err = safe.new { timeout = 0 }
    return err
end

-- One readable line: not too long, no control bytes.
local function check_line(text)
    assert.is_string(text)
    assert(#text <= 1024, "it has " .. #text .. " bytes")
    assert.is_nil(text:find "[%c\127]", text)
    assert.equal("zenlayer: ", text:sub(1, 10))
end

describe("an error of the API", function()
    local box, client

    setup(function()
        box = sandbox.start()
        client = box:client(safe)
    end)

    teardown(function()
        client:close()
        box:stop()
    end)

    local function answered(status, fields)
        box:answer(cjson.encode(fields), status)
        local result, err = client:call("StopThings")
        assert.is_nil(result)
        assert.is_true(zenlayer.is_error(err))
        return err
    end

    it("has its fields whole, and its line short and clean", function()
        property.check(60, function()
            local fields = {
                requestId = "T" .. property.text(20),
                code = "C" .. property.text(property.pick { 0, 10, 200 }),
                message = property.text(property.pick { 0, 10, 400, 3000 }),
            }
            local err = answered(404, fields)
            assert.equal(fields.requestId, err.request_id)
            assert.equal(fields.code, err.code)
            assert.equal(fields.message, err.message)
            assert.equal("api", err.kind)
            assert.equal("rejected", err.outcome)
            assert.equal(404, err.http_status)
            assert.equal("StopThings", err.action)
            assert.equal(1, err.attempts)
            local line = tostring(err)
            check_line(line)
            assert.is_truthy(line:find("rejected", 1, true), "the outcome is cut off")
        end)
    end)

    it("has a line of whole characters, however long its fields are", function()
        property.check(60, function()
            local err = answered(404, {
                requestId = "T" .. utf8.char(property.pick { 0xE9, 0x6F22, 0x1F680 }):rep(200),
                code = ("x"):rep(math.random(0, 3)) .. ("漢"):rep(200),
                message = ("y"):rep(math.random(0, 3))
                    .. utf8.char(property.pick { 0xE9, 0x6F22, 0x1F680 }):rep(1000),
            })
            local line = tostring(err)
            check_line(line)
            assert(utf8.len(line), "a character is cut in two")
            assert.is_truthy(line:find("rejected", 1, true), "the outcome is cut off")
        end)
    end)

    it("shows every control byte as an escape", function()
        local message = {}
        for byte = 0, 0x1F do
            message[#message + 1] = string.char(byte)
        end
        local err = answered(404, {
            requestId = "T1", code = "A\27[31m", message = table.concat(message) .. "\127.",
        })
        assert.equal(table.concat(message) .. "\127.", err.message)
        local line = tostring(err)
        check_line(line)
        for byte = 0, 0x1F do
            assert.is_truthy(line:find(("\\x%02x"):format(byte), 1, true), line)
        end
        assert.is_truthy(line:find("\\x7f.", 1, true), line)
        assert.is_truthy(line:find("A\\x1b[31m", 1, true), line)
    end)

    it("is the same, raised and returned", function()
        local raising = box:client(zenlayer)
        for _, answer in ipairs {
            { 404, '{"requestId":"T1","code":"INVALID_INSTANCE_NOT_FOUND","message":"no"}' },
            { 429, '{"requestId":"T2","code":"REQUEST_LIMIT_EXCEEDED","message":"slow"}' },
            { 500, "<html>" }, { 200, "[]" }, { 302, "" },
            { 200, '{"requestId":"T3","code":"ODD","message":"a code in a 200"}' },
        } do
            box:answer(answer[2], answer[1])
            for method, arguments in pairs {
                call = { "StopThings" }, stop_instances = { { "a", "b" } },
                describe_instances_status = { { "a" } },
            } do
                local ok, raised = pcall(raising[method], raising, table.unpack(arguments))
                assert.is_false(ok)
                local returned = table.pack(client[method](client, table.unpack(arguments)))
                assert.equal(2, returned.n)
                assert.is_nil(returned[1])
                errors.same(raised, returned[2])
                assert.equal(tostring(raised), tostring(returned[2]))
            end
        end
        raising:close()
    end)

    it("does not hide an error of somebody else's", function()
        box:behave {}
        local finished = false
        for nth = 1, 50 do -- raised at every call that is made within the method, in turn
            local count = 0
            local function hook()
                count = count + 1
                if count == nth + 1 then
                    error("mine", 0)
                end
            end
            local ok, result, more = pcall(function()
                debug.sethook(hook, "c")
                local a, b = client:call("Echo", { n = nth })
                debug.sethook()
                return a, b
            end)
            debug.sethook()
            if ok then
                assert.is_table(result, tostring(more))
                finished = true
                break
            end
            assert.equal("mine", result)
        end
        assert.is_true(finished)
        assert.is_table(client:call("Echo"))
    end)
end)

describe("the line of an error", function()
    it("names the code, the message and the outcome", function()
        local err = argument_error()
        assert.equal("zenlayer: INVALID_ARGUMENT: options.timeout: expected seconds over 0, "
            .. "up to 30 days (not_sent)", tostring(err))
    end)

    it("comes out of whatever its fields have become", function()
        local hostile = setmetatable({}, {
            __tostring = function() error "not to be called" end,
            __index = function() error "not to be called" end,
        })
        local values = { false, true, 0, -1, 1.5, 0 / 0, math.huge, math.mininteger, "", "x", "\0",
            "\r\n", ("x"):rep(1000000), ("\128"):rep(5000), ("\0"):rep(5000), {}, hostile, print,
            coroutine.create(function() end), io.stdout }
        local names = { "kind", "code", "message", "hint", "action", "http_status", "request_id",
            "attempts", "outcome", "where", "retryable", "batches", "retry_after", "__tostring" }
        property.check(500, function()
            local err = argument_error()
            for _ = 1, math.random(1, 8) do
                local value
                if math.random(4) > 1 then
                    value = property.pick(values)
                end
                rawset(err, property.pick(names), value)
            end
            check_line(tostring(err))
            check_line(("%s"):format(err))
            assert.is_true(zenlayer.is_error(err))
        end)
    end)

    it("ends with the hint, as far as there is room", function()
        local err = argument_error()
        local before = tostring(err)
        err.hint = "what helps"
        assert.equal(before .. "; what helps", tostring(err))
        err.hint = ("x"):rep(2000)
        local line = tostring(err)
        check_line(line)
        assert.equal(before .. "; xxx", line:sub(1, #before + 5))
        assert.is_truthy(line:find "x%.%.%.$")
        for _, character in ipairs { "\1", "é", "漢" } do
            for length = 900, 930 do
                err.message, err.hint = ("x"):rep(30), ("x"):rep(length) .. character:rep(100)
                line = tostring(err)
                check_line(line)
                assert(utf8.len(line), "a character is cut in two")
                assert.equal("...", line:sub(-3))
            end
        end
        -- Of what is longer than it may be, nothing else is cut for it.
        for _, name in ipairs { "code", "message", "action", "http_status", "request_id",
            "attempts" } do
            err[name] = ("y"):rep(2000)
        end
        err.hint = "what helps"
        line = tostring(err)
        check_line(line)
        assert.is_nil(line:find("what helps", 1, true))
    end)

    it("comes out of an emptied error", function()
        local err = argument_error()
        for name in pairs(err) do
            err[name] = nil
        end
        check_line(tostring(err) .. " ")
    end)

    it("goes together with strings, numbers and other errors", function()
        local err, line = argument_error(), tostring(argument_error())
        assert.equal("it: " .. line, "it: " .. err)
        assert.equal(line .. "\n", err .. "\n")
        assert.equal("a" .. line .. "b", "a" .. err .. "b")
        assert.equal("7" .. line, 7 .. err)
        assert.equal(line .. "0.5", err .. 0.5)
        assert.equal(line .. line, err .. err)
        for _, value in ipairs { {}, true, print } do
            assert.is_false(pcall(function() return err .. value end))
            assert.is_false(pcall(function() return value .. err end))
        end
        assert.is_false(pcall(function() return err .. nil end))
    end)
end)

describe("is_error", function()
    it("knows the errors of both modules", function()
        local _, returned = safe.new { timeout = 0 }
        local _, raised = pcall(zenlayer.new, { timeout = 0 })
        for _, module in ipairs { zenlayer, safe } do
            assert.is_true(module.is_error(returned))
            assert.is_true(module.is_error(raised))
            assert.is_true(module.is_error(raised, "and more"))
        end
    end)

    it("says no to everything else", function()
        local client = zenlayer.new(errors.options())
        local fields = {}
        for name, value in pairs(argument_error()) do
            fields[name] = value
        end
        for _, module in ipairs { zenlayer, safe } do
            assert.is_false(module.is_error())
            assert.is_false(module.is_error(nil))
            for _, value in ipairs { false, true, 0, 1.5, "", "zenlayer: X", {}, fields, print,
                coroutine.create(function() end), io.stdout, client, zenlayer, zenlayer.null,
                zenlayer.empty_array, setmetatable({}, {}),
                setmetatable({}, { __name = "zenlayer.error" }),
                setmetatable({}, { __index = argument_error() }), getmetatable(argument_error()),
                getmetatable "" } do
                assert.is_false(module.is_error(value))
            end
        end
        client:close()
    end)
end)

describe("an error that nobody caught", function()
    it("is printed as its line by the stock interpreter", function()
        local output, status = process.run_lua [[
            local zenlayer = require "zenlayer"
            zenlayer.new { access_key_id = "a", access_key_password = "b", timeout = 0 }
        ]]
        assert.equal(1, status)
        local first = output:match "[^\n]*"
        if not every_lua.prints_error_objects then
            return assert.is_truthy(first:find("(error object is not a string)", 1, true), first)
        end
        assert.is_truthy(first:find("zenlayer: INVALID_ARGUMENT: options.timeout", 1, true), first)
        assert.is_truthy(first:find("(not_sent)", 1, true), first)
    end)
end)
