-- The functions that a client is given, in an nginx: on_event and credentials.
local events = require "events"
local expect = require "expect"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"

-- Makes a client whose functions are of this kind, once in a worker, under a name.
local MODULE = [[
local zenlayer = require "resty.zenlayer"
local functions = { seen = {}, calls = {} }
local clients = {}

local KINDS = {}

function KINDS.good(key)
    return key
end

function KINDS.slow(key)
    ngx.sleep(0.3)
    return key
end

function KINDS.old_at_first(key, calls)
    return calls == 1 and { access_key_id = key.access_key_id, access_key_password = "old" } or key
end

function KINDS.raises()
    error("the vault is sealed", 0)
end

function KINDS.calls_itself(key, _, client)
    local result, err = client:call "Echo"
    assert(result == nil)
    functions.message = err.message
    return key
end

function KINDS.hangs()
    ngx.sleep(60)
end

function functions.client(name, kind, options, key)
    if not clients[name] then
        functions.seen[name], functions.calls[name] = {}, 0
        options.on_event = function(event)
            table.insert(functions.seen[name], event)
            if options.user_agent == "sleepy" then
                ngx.sleep(0.01)
            elseif options.user_agent == "closing" and event.event == "attempt_started" then
                clients[name]:close()
            end
        end
        options.credentials = function()
            functions.calls[name] = functions.calls[name] + 1
            return KINDS[kind](key, functions.calls[name], clients[name])
        end
        clients[name] = assert(zenlayer.new(options))
    end
    return clients[name]
end

return functions
]]

describe("in nginx", function()
    local box, front, count

    setup(function()
        box = sandbox.start()
        front = remote.start(box, {
            modules = { functions = MODULE }, server = "lua_check_client_abort on;",
        })
        count = 0
    end)
    teardown(function()
        front:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        count = count + 1
    end)

    local WITH_CLIENT = [[
        local functions = require "functions"
        local name, kind, options, key, more = ...
        client = functions.client(name, kind, options, key)
    ]]

    local function given(kind, options)
        local all = {
            endpoint = box.endpoint,
            connect_to = "127.0.0.1:" .. box.port,
        }
        for name, value in pairs(options or {}) do
            all[name] = value
        end
        return kind .. count, kind, all,
            { access_key_id = box.KEY_ID, access_key_password = box.PASSWORD }
    end

    local function run(text, kind, options)
        return front:first():run(WITH_CLIENT .. text, given(kind, options))
    end

    local function seen_of(kind)
        local told = front:first():run("return require('functions').seen[...]", kind .. count)
        local seen = events.new()
        for _, event in ipairs(told) do
            seen.note(event)
        end
        return seen
    end

    local function calls_of(kind)
        return front:first():run("return require('functions').calls[...]", kind .. count)
    end

    -- Which connection is used is each driver's own affair: pools are not clients'.
    local function without_connections(seen)
        local names = {}
        for _, name in ipairs(seen:names()) do
            names[#names + 1] = name ~= "connection_opened" and name or nil
        end
        return names
    end

    it("events are those of zenlayer", function()
        for _, rules in ipairs {
            {}, { { fault = "reset_before", times = 1 } }, { { fault = "status", status = 503 } },
            { { fault = "rate_limit", times = 1 } }, { { fault = "clock", offset = 1000 } },
        } do
            count = count + 1
            local ours = events.new()
            local near = box:client { on_event = ours.note }
            box:faults(rules)
            near:stop_instances(box:ids(2))
            near:close()
            box:faults(rules)
            local batches, err = run(("return select(2, client:stop_instances { '%s', '%s' })")
                :format(table.unpack(box:ids(2))), "good")
            local theirs = seen_of "good"
            theirs:agrees(box:requests(), batches.batches or batches)
            assert.is_nil(err)
            assert.equal("credentials_renewed", table.remove(theirs, 1).event)
            assert.same(without_connections(ours), without_connections(theirs))
        end
    end)

    it("a connection that is opened is told of", function()
        box:faults { { fault = "connection_close" } }
        run("return client:call 'Echo'", "good", { max_response_bytes = 70000 })
        run("return client:call 'Echo'", "good")
        local opened = seen_of "good":of "connection_opened"
        assert.equal("127.0.0.1:" .. box.port, opened[#opened].address)
        assert.is_true(opened[#opened].duration >= 0)
    end)

    it("an on_event that closes the client keeps a request from going out", function()
        box:mark()
        local told = run([[
            local _, err = client:stop_instances { "id-1" }
            return err.code .. " " .. err.batches[1].outcome
        ]], "good", { user_agent = "closing" })
        assert.equal("CANCELLED not_sent", told)
        assert.equal(0, #box:requests())
    end)

    it("an on_event that yields breaks nothing", function()
        local result = run("return client:call 'Echo'", "good", { user_agent = "sleepy" })
        assert.same({}, result.params)
        assert.is_true(#seen_of "good" >= 4)
    end)

    it("a credentials function may wait, once for all who need it", function()
        local requests = {}
        for i = 1, 6 do
            requests[i] = front:first():begin(WITH_CLIENT .. "return client:call('Echo')",
                given "slow")
        end
        for _, request in ipairs(requests) do
            assert.same({}, (expect.success(request:result())).params)
        end
        assert.equal(1, calls_of "slow")
        assert.equal(6, #box:requests())
    end)

    it("a key that is refused is renewed", function()
        local batches = run("return select(2, client:stop_instances { 'a' })", "old_at_first")
        assert.equal("accepted", batches[1].outcome)
        assert.equal(2, batches[1].attempts)
        assert.equal(2, calls_of "old_at_first")
    end)

    it("a credentials function that raises is told of", function()
        local result, err = run("return client:call 'Echo'", "raises")
        remote.failure({
            kind = "credentials", code = "CREDENTIALS_UNAVAILABLE", outcome = "not_sent",
            message = "the credentials function raised the vault is sealed", retryable = true,
        }, result, err)
        assert.equal(0, #box:requests())
    end)

    it("a deadline ends the wait for one that does not return", function()
        local began = process.now()
        local result, err = run("return client:call 'Echo'", "hangs", { deadline = 0.5 })
        remote.failure({ code = "DEADLINE_EXCEEDED", outcome = "not_sent" }, result, err)
        assert.is_true(process.now() - began < 20 * process.slowness)
    end)

    it("one that uses its own client is told so", function()
        local result, message = run([[
            local result = client:call 'Echo'
            return result, require("functions").message
        ]], "calls_itself")
        assert.same({}, result.params)
        assert.equal("the credentials function used its own client, which waits for it", message)
    end)

    it("a request that is aborted while it waits leaves the others theirs", function()
        local text = WITH_CLIENT .. "return client:call 'Echo'"
        local gone = front:first():begin(text, given "slow")
        process.await(function()
            return calls_of "slow" == 1
        end, "the function")
        gone:abort()
        assert.same({}, (expect.success(front:first():run(text, given "slow"))).params)
        assert.equal(1, calls_of "slow")
    end)

    it("a client may be closed while its function is asked", function()
        local request = front:first():begin(WITH_CLIENT .. "return client:call 'Echo'",
            given "slow")
        process.await(function()
            return calls_of "slow" == 1
        end, "the function")
        run("client:close()", "slow")
        local result, err = request:result()
        remote.failure({ code = "CANCELLED", outcome = "not_sent" }, result, err)
        front:first():run "ngx.sleep(0.4)" -- the function returns, to nobody
        front.gateway:check_log()
    end)
end)
