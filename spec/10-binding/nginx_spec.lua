-- The module that blocks, inside nginx: here with the one function by which it knows nginx. The
-- real one is in spec/60-gateway.
local expect = require "expect"
local closing = require "every_lua".closing
local safe = require "zenlayer.safe"

describe("zenlayer in nginx", function()
    local phase

    before_each(function()
        phase = "content"
        package.loaded.ngx = { get_phase = function() return phase end }
    end)

    after_each(function()
        package.loaded.ngx = nil
    end)

    local function new(options)
        local all = {
            access_key_id = "KEY", access_key_password = "secret", endpoint = "http://127.0.0.1:1",
            max_attempts = 1,
        }
        for name, value in pairs(options or {}) do
            all[name] = value
        end
        return closing(assert(safe.new(all)))
    end

    local function blocking(client)
        local job = client:submit_stop_instances { "a" }
        return {
            stop_instances = function() return client:stop_instances { "a" } end,
            describe_instances_status = function()
                return client:describe_instances_status { "a" }
            end,
            wait_until_stopped = function()
                return client:wait_until_stopped({ "a" }, { wait_timeout = 0.01 })
            end,
            call = function() return client:call "DescribeThings" end,
            connect = function() return client:connect() end,
            poll = function() return client:poll(0) end,
            wait = function() return job:wait(0) end,
        }
    end

    it("refuses whatever could block, and says what to use", function()
        for _, name in ipairs { "content", "access", "rewrite", "timer", "log", "header_filter" } do
            phase = name
            for method, call in pairs(blocking(new())) do
                local err = expect.failure({
                    code = "WRONG_PHASE", kind = "argument", outcome = "not_sent",
                }, call())
                assert.truthy(err.message:find("its " .. name .. " phase", 1, true), method)
                assert.truthy(err.message:find("resty.zenlayer", 1, true), method)
            end
        end
    end)

    it("does not while nginx starts", function()
        for _, name in ipairs { "init", "init_worker" } do
            phase = name
            for _, call in pairs(blocking(new())) do
                local _, err = call()
                assert.is_true(err == nil or err.code ~= "WRONG_PHASE")
            end
        end
    end)

    it("does not if it is allowed to", function()
        local _, err = new({ allow_blocking = true }):stop_instances { "a" }
        assert.equal("CONNECT_FAILED", err.code)
        _, err = new({ allow_blocking = false }):stop_instances { "a" }
        assert.equal("WRONG_PHASE", err.code)
    end)

    it("counts by the phase of the call, not of new", function()
        phase = "init"
        local client = new()
        phase = "timer"
        expect.failure({ code = "WRONG_PHASE" }, client:stop_instances { "a" })
    end)

    it("is looked for where scripts may not look", function()
        package.loaded.ngx = nil
        local before = getmetatable(_G)
        setmetatable(_G, { __index = function(_, name)
            error("the global " .. tostring(name) .. " is not there")
        end })
        local ok, client = pcall(new)
        setmetatable(_G, before)
        assert(ok, tostring(client))
        local _, err = client:stop_instances { "a" }
        assert.equal("CONNECT_FAILED", err.code)
    end)

    it("prepares in every phase", function()
        local op = new():prepare_stop_instances { "a" }
        assert.equal("send", (op:step()))
    end)
end)
