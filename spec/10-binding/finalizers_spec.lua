-- Finalizers run whenever Lua allocates, so within every method too. One that changes a table which
-- is just being read may make any result of it, but a crash or somebody else's memory is none.
local errors = require "binding_errors"
local process = require "process"
local sandbox = require "binding_sandbox"

-- Each allocation, or one of five: an odd number, so that all that alternates comes by.
local STEP = process.rounds(1, 5)

-- each(fill, use): use(table) is called again and again with what fill(nth) made, while a finalizer
-- refills that table: at the first allocation within use, then at the second, and so on. What that
-- frees is soon used again, for strings of y: at the hundred allocations after it, because what use
-- finds in the table now may be thousands of things, and each of them a whole collection.
local HEAD = [[
    local finalizer = require "every_lua".finalizer
    local zenlayer = require "zenlayer"
    local client = zenlayer.new {
        access_key_id = "a", access_key_password = "b", endpoint = arg[1], max_attempts = 1,
    }
    local function each(fill, use)
        collectgarbage("incremental", 100, 1000, 20)
        for nth = 1, 40, tonumber(arg[2]) do
            local victim, count, is_over, junk = fill(nth), 0, false, {}
            local function meddle()
                count = count + 1
                if count == nth then
                    for name in pairs(victim) do
                        victim[name] = nil
                    end
                    for i = 1, 3000 do
                        victim["other" .. i .. "-" .. nth] = i
                    end
                end
                if not is_over then
                    for i = 1, count > nth and 100 or 0 do
                        junk[#junk + 1] = ("y"):rep(60 + i % 5) .. i .. count
                    end
                    if count < nth + 100 then
                        finalizer(meddle)
                    else
                        collectgarbage("setpause", 200)
                    end
                end
            end
            collectgarbage("setpause", 0) -- a whole collection at every allocation
            collectgarbage()
            finalizer(meddle)
            count = 0
            use(victim)
            is_over = true
        end
        collectgarbage("setpause", 200)
        collectgarbage()
    end
]]

describe("a finalizer that changes", function()
    local echo

    setup(function()
        echo = sandbox.start_echo()
    end)

    teardown(function()
        echo:stop()
    end)

    local function run(body, endpoint)
        local output, status = process.run_lua(HEAD .. body, {}, endpoint, STEP)
        assert.equal(0, status, output)
        return output
    end

    it("the params of a call", function()
        assert.equal('{"a":1}\n', run([[
            each(function(nth)
                local params = {}
                for i = 1, 40 do
                    params["name" .. i .. "-" .. nth .. ("x"):rep(60)] = ("value"):rep(i)
                end
                return params
            end, function(params)
                local ok, response = pcall(client.call, client, "Echo", params)
                local text = ok and response.body or tostring(response)
                assert(not text:find("yyy", 1, true), text)
            end)
            print(client:call("Echo", { a = 1 }).body)
        ]], echo.endpoint))
    end)

    -- What is kept for it is gone by then.
    it("zenlayer.sign, when the state ends", function()
        local output, status = process.run_lua([[
            local finalizer = require "every_lua".finalizer
            local sign
            local function late()
                print(#sign {
                    access_key_id = "id", access_key_password = "password", host = "h", body = "",
                    timestamp = 1,
                }.Authorization)
            end
            KEPT = { finalizer(late) } -- made before the module's own: finalised after them
            sign = require "zenlayer".sign
            late()
        ]], {})
        assert.equal(0, status, output)
        local first, last = output:match "^(%d+)\n(%d+)\n$"
        assert(first and first == last, output)
    end)

    it("a list of ids", function()
        run([[
            each(function()
                local ids = {}
                for i = 1, 300 do
                    ids[i] = ("x"):rep(60) .. i
                end
                return ids
            end, function(ids)
                local ok, err = pcall(client.stop_instances, client, ids)
                assert(not ok and zenlayer.is_error(err), tostring(err))
                for _, batch in ipairs(err.batches or {}) do
                    for _, id in ipairs(batch.instance_ids) do
                        assert(id:find "^x+%d+$", id)
                    end
                end
            end)
        ]], errors.NOWHERE)
    end)

    it("the options of sign", function()
        run([[
            local function long(text)
                return text .. ("x"):rep(60)
            end
            each(function(nth)
                return {
                    access_key_id = long("id") .. nth,
                    access_key_password = long("password") .. nth,
                    host = long("host") .. nth, body = long("body") .. nth, timestamp = 1,
                    content_type = long("type") .. nth, action = long("action") .. nth,
                    api_version = long("version") .. nth,
                }
            end, function(options)
                local ok, headers = pcall(zenlayer.sign, options)
                for name, value in pairs(ok and headers or {}) do
                    assert(not value:find("yyy", 1, true), name .. ": " .. value)
                end
            end)
        ]], errors.NOWHERE)
    end)

    it("the options of a call", function()
        run([[
            each(function(nth)
                return { service = "service" .. ("x"):rep(60) .. nth, api_version = "v" .. nth }
            end, function(options)
                local ok, response = pcall(client.call, client, "Echo", {}, options)
                local path = ok and response.path or ""
                assert(not path:find("yyy", 1, true), path)
            end)
        ]], echo.endpoint)
    end)

    it("the options of new", function()
        run([[
            each(function(nth)
                return {
                    access_key_id = ("x"):rep(60) .. nth,
                    access_key_password = ("x"):rep(61) .. nth,
                    endpoint = "https://" .. ("x"):rep(60) .. nth,
                    user_agent = ("x"):rep(62) .. nth,
                    connect_to = ("x"):rep(63) .. nth,
                    proxy = "http://" .. ("x"):rep(60) .. nth,
                    ca_file = ("/"):rep(60 + nth) .. "dev/null",
                }
            end, function(options)
                local ok, new = pcall(zenlayer.new, options)
                assert(ok or zenlayer.is_error(new), tostring(new))
                assert(not tostring(new):find("yyy", 1, true), tostring(new))
            end)
        ]], errors.NOWHERE)
    end)
end)

describe("a finalizer that empties", function()
    -- And frees what was in it, where a finalizer may collect: in all Luas but 5.4.
    it("what a credentials function returned", function()
        local output, status = process.run_lua([[
            local finalizer = require "every_lua".finalizer
            local zenlayer = require "zenlayer"
            collectgarbage("setpause", 0)
            collectgarbage("setstepmul", 1000)
            for nth = 1, 40 do
                local given = {
                    access_key_id = ("x"):rep(60) .. nth,
                    access_key_password = ("x"):rep(61) .. nth, expires_at = os.time() + 1000,
                }
                local inside, count, is_over, junk = false, 0, false, {}
                local client = zenlayer.new {
                    endpoint = arg[1],
                    credentials = function()
                        inside = true
                        return given
                    end,
                }
                local op = client:prepare "Echo"
                local function meddle()
                    count = count + (inside and 1 or 0)
                    if count == nth then
                        for name in pairs(given) do
                            given[name] = nil
                        end
                        collectgarbage()
                        for i = 1, 500 do
                            junk[i] = ("y"):rep(60 + i % 5) .. i
                        end
                    end
                    if not is_over then
                        finalizer(meddle)
                    end
                end
                collectgarbage()
                finalizer(meddle)
                local ok, step, _, request = pcall(op.step, op)
                is_over = true
                assert(ok, tostring(step))
                if step == "send" then
                    local text = request.headers.Authorization
                    assert(text:find(("x"):rep(60) .. nth, 1, true), text)
                else
                    local _, err = pcall(op.result, op)
                    assert(zenlayer.is_error(err) and err.kind == "credentials", tostring(err))
                    -- All of it was gone, or some; what is read is never what was freed.
                    assert(err.message:find "neither" or err.message:find " without ", err.message)
                end
                client:close()
            end
            print "well"
        ]], {}, errors.NOWHERE)
        assert.equal(0, status, output)
        assert.equal("well\n", output)
    end)
end)

-- A client that is closed by a finalizer at the first allocation within a method, then at the
-- second, and so on: before it is used, while its arguments are read, while it is at work. What is
-- freed is soon used again. Printed are the ways the calls ended, and how often.
local CLOSING = [[
    local finalizer = require "every_lua".finalizer
    local zenlayer = require "zenlayer"
    local told, CLOSES = {}, 40
    local modes = {
        function()
            collectgarbage("incremental", 100, 1000, 20)
            collectgarbage("setpause", 0)
            collectgarbage()
        end,
        function() -- a whole collection at once, where there are few allocations
            collectgarbage("setpause", 0)
            collectgarbage("setstepmul", 1000000)
            collectgarbage()
        end,
        function()
            collectgarbage("generational", 1, 1)
        end,
    }
    local function note(ok, err)
        if not ok then
            assert(zenlayer.is_error(err), tostring(err))
            for _, batch in ipairs(err.batches or {}) do
                for _, id in ipairs(batch.instance_ids) do
                    assert(id:find "^x+[%d-]+$", id)
                end
            end
        end
        return ok and "ok" or err.code
    end
    local function each(prepare, use)
        for _, mode in ipairs(modes) do
            for nth = 1, CLOSES, tonumber(arg[2]) do
                collectgarbage("incremental", 200, 100, 13)
                local client = zenlayer.new {
                    access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password",
                    endpoint = arg[1], max_attempts = 2,
                }
                if nth % 2 == 0 then
                    client:connect()
                end
                local arguments = table.pack(prepare(nth))
                local count, is_over, junk = 0, false, {}
                local function close()
                    count = count + 1
                    if count == nth then
                        client:close()
                    end
                    for i = 1, count >= nth and not is_over and 50 or 0 do
                        junk[i] = ("y"):rep(40 + i % 9 * 30) .. i .. count
                    end
                    if not is_over then
                        finalizer(close)
                    end
                end
                mode()
                finalizer(close)
                count = 0
                local how = note(pcall(use, client, table.unpack(arguments, 1, arguments.n)))
                is_over = true
                told[how] = (told[how] or 0) + 1
                if count >= nth then -- it is closed now, and says so
                    how = note(pcall(use, client, table.unpack(arguments, 1, arguments.n)))
                    assert(how == "CLIENT_CLOSED", how)
                else
                    assert(how == "ok", how)
                end
                client:close()
            end
        end
        collectgarbage("incremental", 200, 100, 13)
        collectgarbage()
        for how, times in pairs(told) do
            print(how, times)
        end
    end
    local lists = 0
    local function ids(n)
        local list = {}
        lists = lists + 1
        for i = 1, n do
            list[i] = ("x"):rep(50) .. lists .. "-" .. i
        end
        return list
    end
]]

describe("a finalizer that closes the client", function()
    local box

    setup(function()
        box = sandbox.start()
    end)

    teardown(function()
        box:stop()
    end)

    -- Every call ends well, or says that the client was closed before it or meanwhile.
    local function run(body, other)
        local endpoint = (other or box).endpoint
        local output, status = process.run_lua(CLOSING .. body, {}, endpoint, STEP)
        assert.equal(0, status, output)
        local told = {}
        for how, times in output:gmatch "(%S+)\t(%d+)\n" do
            told[how] = tonumber(times)
        end
        for how in pairs(told) do
            assert.is_truthy(how == "ok" or how == "CLIENT_CLOSED" or how == "CANCELLED", output)
        end
        assert.is_true((told.CLIENT_CLOSED or 0) > 0 and (told.ok or 0) > 0, output)
    end

    it("while stop_instances reads its arguments", function()
        run [[
            each(function(nth)
                return ids(nth % 3 == 0 and 250 or 3), {
                    force_shutdown = false, on_error = "continue", timeout = 20, service = "vm",
                }
            end, function(client, list, options)
                return client:stop_instances(list, options)
            end)
        ]]
    end)

    it("while describe_instances_status reads its arguments", function()
        run [[
            each(function(nth)
                return ids(nth % 3 == 0 and 250 or 3), { api_version = "2026-04-01", deadline = 50 }
            end, function(client, list, options)
                return client:describe_instances_status(list, options)
            end)
        ]]
    end)

    -- Of a sandbox of its own: the other one has got thousands of instances by now.
    it("while describe_instances_status reads all pages", function()
        local other = sandbox.start { "--instances", 110 }
        local ok, message = pcall(run, [[
            each(function() end, function(client)
                return client:describe_instances_status(nil, { max_attempts = 1 })
            end)
        ]], other)
        other:stop()
        assert(ok, message)
    end)

    it("while call reads its arguments", function()
        run [[
            each(function(nth)
                local params = { list = ids(nth % 3 == 0 and 100 or 5), nested = { { a = {} } } }
                for i = 1, 20 do
                    params["name" .. i] = ("value"):rep(i)
                end
                return params, { idempotent = true, service = "zec", api_version = "2025-09-01" }
            end, function(client, params, options)
                return client:call("Echo", params, options)
            end)
        ]]
    end)

    it("while call has no arguments to read", function()
        run [[
            each(function() end, function(client)
                return client:call("Echo")
            end)
        ]]
    end)

    -- It allocates nothing in Lua while it waits; a hook that does runs in each of its turns.
    it("while connect is at it", function()
        run [[
            each(function()
                debug.sethook()
            end, function(client)
                debug.sethook(function() return {} end, "c")
                local result = client:connect()
                debug.sethook()
                return result
            end)
        ]]
    end)
end)
