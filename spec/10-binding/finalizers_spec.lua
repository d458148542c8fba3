-- Finalizers run whenever Lua allocates, so within every method too. One that changes a table which
-- is just being read may make any result of it, but a crash or somebody else's memory is none.
local errors = require "binding_errors"
local process = require "process"
local sandbox = require "binding_sandbox"

-- each(fill, use): use(table) is called again and again with what fill(nth) made, while a finalizer
-- refills that table: at the first allocation within use, then at the second, and so on. What that
-- frees is soon used again, for strings of y.
local HEAD = [[
    local zenlayer = require "zenlayer"
    local client = zenlayer.new {
        access_key_id = "a", access_key_password = "b", endpoint = arg[1], max_attempts = 1,
    }
    local function each(fill, use)
        collectgarbage("incremental", 100, 1000, 30)
        collectgarbage("setpause", 0) -- a whole collection at every allocation
        collectgarbage()
        for nth = 1, 40 do
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
                    setmetatable({}, { __gc = meddle })
                end
            end
            setmetatable({}, { __gc = meddle })
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
        local output, status = process.run_lua(HEAD .. body, {}, endpoint)
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
