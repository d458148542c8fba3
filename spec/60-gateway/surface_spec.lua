-- Everything that resty.zenlayer has, in an nginx: results are those of zenlayer.safe.
local cjson = require "cjson"
local expect = require "expect"
local remote = require "remote"
local sandbox = require "sandbox"
local zenlayer = require "zenlayer"

local box, front, far, near

setup(function()
    box = sandbox.start { "--instances", "3", "--stop-seconds", "0.3" }
    front = remote.start(box)
end)
teardown(function()
    front:stop()
    box:stop()
end)
before_each(function()
    box:faults {}
    far, near = front:first(), box:client()
end)
after_each(function()
    near:close()
    front.gateway:check_log()
end)

-- Both are asked to do the same; what both came to, and the requests of each.
local function alike(text, make)
    box:mark()
    local theirs = remote.normal(far:run(text, make()))
    local requests = box:requests()
    box:mark()
    local ours = remote.normal(remote.run_here(near, text, make()))
    assert.same(ours, theirs)
    return theirs, requests, box:requests()
end

local function ids(n, beginning)
    return function()
        return box:ids(n, beginning)
    end
end

describe("stop_instances", function()
    it("stops one", function()
        local results, requests, expected = alike("return client:stop_instances(...)", ids(1))
        assert.equal(2, results.n)
        assert.equal("accepted", results[2][1].outcome)
        assert.same({ "(request id)" }, results[1])
        for _, field in ipairs { "method", "path", "action", "service", "version", "verified",
            "acted", "host", "content_type", "body_bytes" } do
            assert.equal(expected[1][field], requests[1][field], field)
        end
        assert.is_true(requests[1].acted)
    end)

    it("stops 250 in batches of a hundred", function()
        local results, requests = alike("return client:stop_instances(...)", ids(250))
        assert.equal(3, #results[1])
        assert.equal(3, #requests)
        local sizes = {}
        for i, batch in ipairs(results[2]) do
            sizes[i] = #batch.instance_ids
        end
        assert.same({ 100, 100, 50 }, sizes)
    end)

    it("returns the request ids in the journal", function()
        local given = box:ids(250)
        local request_ids, batches = expect.success(far:stop_instances(given))
        expect.partition(given, batches)
        local seen = {}
        for _, request in ipairs(box:requests()) do
            seen[request.request_id] = request.params.instanceIds
        end
        for i, request_id in ipairs(request_ids) do
            assert.same(batches[i].instance_ids, seen[request_id])
        end
    end)

    for _, force in ipairs { true, false } do
        it("passes force_shutdown = " .. tostring(force) .. " on", function()
            alike("return client:stop_instances(..., { force_shutdown = " .. tostring(force)
                .. " })", ids(1))
            assert.equal(force, box:requests()[1].params.forceShutdown)
        end)
    end

    it("passes no force_shutdown on that was not given", function()
        local _, requests = alike("return client:stop_instances(...)", ids(1))
        assert.is_nil(requests[1].params.forceShutdown)
    end)

    for _, on_error in ipairs { "stop", "continue" } do
        it("with on_error = " .. on_error .. " tells of every id", function()
            local function make()
                local given = box:ids(350)
                given[7] = "missing-7"
                return given, on_error
            end
            -- One at a time, so that both begin no more batches than the first.
            local text = "local ids, on_error = ... "
                .. "return client:stop_instances(ids, { on_error = on_error })"
            far = front:client { max_concurrency = 1 }
            near:close()
            near = box:client { max_concurrency = 1 }
            local results, requests = alike(text, make)
            local outcomes = {}
            for i, batch in ipairs(results[2].batches) do
                outcomes[i] = batch.outcome
            end
            local others = on_error == "stop" and "not_sent" or "accepted"
            assert.same({ "rejected", others, others, others }, outcomes)
            assert.equal(on_error == "stop" and 1 or 4, #requests)
        end)
    end

    it("with isolate finds the ids that are bad", function()
        local results = alike("return client:stop_instances(..., { isolate = true })", function()
            local given = box:ids(10)
            given[3], given[8] = "missing-3", "recycled-8"
            return given
        end)
        assert.equal(3, #results[2].batches)
    end)

    it("with wait returns when all are STOPPED, and tells of its progress", function()
        local text = [[
            local seen, last = 0, nil
            local request_ids, batches = client:stop_instances(..., {
                wait = true, wait_min_delay = 0.1, wait_max_delay = 0.1,
                on_progress = function(p)
                    assert(p.stopped + p.pending + p.failed == 120)
                    seen, last = seen + 1, p
                end,
            })
            return seen > 0, last.stopped, last.pending, request_ids, batches
        ]]
        local results = remote.normal(far:run(text, box:ids(120)))
        assert.same(remote.normal(remote.run_here(near, text, box:ids(120))), results)
        assert.is_true(results[1])
        assert.equal(120, results[2])
    end)

    it("with grace shuts down first, and then stops with force", function()
        local slow = sandbox.start { "--stop-seconds", "0.3", "--graceful-seconds", "600" }
        remote.with(slow, { options = { service = "zec" } }, function(gate)
            local request_ids, batches = gate:first():run([[
                return client:stop_instances(..., {
                    grace = 0.5, wait_min_delay = 0.1, wait_max_delay = 0.1, wait_timeout = 20,
                })]], slow:ids(2, "slow-"))
            local forces = {}
            for _, request in ipairs(slow:requests()) do
                if request.action == "StopInstances" then
                    forces[#forces + 1] = request.params.forceShutdown
                end
            end
            expect.success(request_ids, batches)
            assert.same({ false, true }, forces)
            assert.is_table(batches[1].forced)
        end)
    end)

    it("raises what on_progress raises, and the client goes on", function()
        local text = [[
            return client:stop_instances(..., {
                wait = true, on_progress = function() error("enough", 0) end,
            })]]
        for _ = 1, 2 do
            local ok, raised = pcall(far.run, far, text, box:ids(3))
            assert.is_false(ok)
            assert.equal("enough", raised)
        end
        expect.success(far:call("Echo"))
        local ours = select(2, pcall(remote.run_here, near, text, box:ids(3)))
        assert.equal("enough", ours)
    end)
end)

describe("describe_instances_status", function()
    it("tells of these ids", function()
        alike("return client:describe_instances_status(...)", function()
            return { "stopped-1", "missing-1", "id-000001", "create-failed-1" }
        end)
        local results = alike("return client:describe_instances_status(...)", function()
            return { "running-1", "stopped-1" }
        end)
        assert.same({ ["running-1"] = "RUNNING", ["stopped-1"] = "STOPPED" }, results[1])
    end)

    it("tells of 250", function()
        local _, requests = alike("return client:describe_instances_status(...)", ids(250))
        assert.equal(3, #requests)
    end)

    it("tells of all, page by page", function()
        local large = sandbox.start { "--instances", "2300" }
        remote.with(large, {}, function(gate)
            local statuses = expect.success(gate:first():describe_instances_status())
            local count = 0
            for _, status in pairs(statuses) do
                count = count + (status == "RUNNING" and 1 or 0)
            end
            assert.equal(2300, count)
            assert.is_true(#large:requests() > 1)
        end)
    end)
end)

describe("wait_until_stopped", function()
    it("returns when all are STOPPED", function()
        local given = box:ids(3)
        expect.success(far:stop_instances(given))
        local statuses = expect.success(far:run(
            "return client:wait_until_stopped(..., { wait_min_delay = 0.1 })", given))
        assert.same({ [given[1]] = "STOPPED", [given[2]] = "STOPPED", [given[3]] = "STOPPED" },
            statuses)
    end)

    it("tells what will not stop, and what did not in time", function()
        local results = alike("return client:wait_until_stopped(...)", function()
            return { "stopped-1", "recycled-2" }
        end)
        assert.equal("UNEXPECTED_STATE", results[2].code)
        results = alike([[return client:wait_until_stopped(..., {
            wait_timeout = 0.4, wait_min_delay = 0.1, wait_max_delay = 0.1 })]], function()
            return { "stopped-1", "running-2" }
        end)
        assert.equal("WAIT_TIMEOUT", results[2].code)
        assert.same({ ["stopped-1"] = "STOPPED", ["running-2"] = "RUNNING" }, results[2].statuses)
    end)
end)

describe("call", function()
    it("does any action, with any parameters", function()
        local results = alike([[
            local response, request_id = client:call("Echo", {
                text = "\228\189\160 \"/\\\n", list = { 1, 2.5, -3, true }, nothing = zenlayer.null,
                empty = zenlayer.empty_array, object = {}, large = 9007199254740992,
                nested = { { a = { { b = 1e100 } } } },
            })
            return response, request_id ~= nil, response.params.large == 9007199254740992
        ]], function() end)
        assert.is_true(results[2])
        assert.is_true(results[3])
    end)

    it("sends the very bytes that zenlayer sends", function()
        for _, params in ipairs {
            "{}", "{ b = 1, a = 2, [ 'ü' ] = 0.1 }", "{ zenlayer.null }", "zenlayer.empty_array",
            "{ x = zenlayer.empty_array, y = {} }", "{ n = 1e15, m = -0.5, s = '/<>&\\0' }",
        } do
            local text = "return client:call('Echo', { p = " .. params .. " })"
            local results = alike(text, function() end)
            assert.is_string(results[1].sha256)
        end
    end)

    it("knows the other services", function()
        for _, service in ipairs { "vm", "bmc", "zec" } do
            local results, requests = alike(
                "return client:call('Echo', { a = 1 }, { service = ... })", function()
                    return service
                end)
            assert.equal(1, results[1].params.a)
            assert.equal(service, requests[1].service)
        end
    end)

    it("takes a token in place of the keys", function()
        local response = expect.success(front:client { token = box.TOKEN }:call("Echo"))
        assert.is_table(response)
        assert.is_true(box:requests()[1].verified)
    end)

    it("carries a body of 1 MiB whole, there and back", function()
        local text = "local sent = ('0123456789abcdef'):rep(65536) "
            .. "local response = assert(client:call('Echo', { text = sent })) "
            .. "return response.params.text == sent, response.size, response.sha256"
        local results, requests = alike(text, function() end)
        assert.is_true(results[1])
        assert.equal(1, #requests)
    end)
end)

describe("the rest", function()
    it("is_error knows the errors of its clients, and nothing else", function()
        local yes, no, fake, text = far:run [[
            local _, err = client:stop_instances({ 1 })
            local copy = {}
            for name, value in pairs(err) do copy[name] = value end
            return zenlayer.is_error(err), zenlayer.is_error({}), zenlayer.is_error(copy),
                tostring(err)
        ]]
        assert.same({ true, false, false }, { yes, no, fake })
        assert.is_truthy(text:find("^zenlayer: INVALID_ARGUMENT: "), text)
    end)

    it("close refuses calls from then on, more than once", function()
        local results = alike([[
            client:close()
            client:close()
            local _, err = client:call("Echo")
            local _, other = client:stop_instances({ "a" })
            return err, other
        ]], function() end)
        assert.equal("CLIENT_CLOSED", results[1].code)
        assert.equal("not_sent", results[1].outcome)
        far = front:client()
        expect.success(far:call("Echo"))
        -- The first client of this worker is closed now: the others get another.
        front.gateway:reload()
    end)

    it("null and empty_array are zenlayer's", function()
        local null, empty = far:run [[
            local cjson = require "cjson"
            return zenlayer.null == cjson.null, type(zenlayer.empty_array)
        ]]
        assert.is_true(null)
        assert.equal(type(zenlayer.empty_array), empty)
    end)

    it("the version is the core's", function()
        assert.equal(zenlayer._VERSION, (far:run "return zenlayer._VERSION"))
    end)

    it("sign signs as zenlayer does", function()
        local text = "return zenlayer.sign(...)"
        local function make()
            return {
                access_key_id = "id", access_key_password = "password", body = '{"a":1}',
                host = "console.zenlayer.com", timestamp = 1700000000, action = "StopInstances",
            }
        end
        local results = alike(text, make)
        assert.is_string(results[1].Authorization)
        results = alike(text, function() return { host = 3 } end)
        assert.equal("argument", results[2].kind)
    end)

    it("tostring shows no key", function()
        local text = far:run "return tostring(client)"
        assert.is_truthy(text:find "^resty%.zenlayer", text)
        assert.is_nil(text:find(box.PASSWORD, 1, true))
    end)

    it("is written to JSON as it is: the answers are plain tables", function()
        local text = far:run "return require('cjson').encode((client:call('Echo', { a = 1 })))"
        assert.equal(1, cjson.decode(text).params.a)
    end)
end)
