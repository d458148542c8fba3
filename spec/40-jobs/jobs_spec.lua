-- Jobs: submitted, polled from a loop, waited for, cancelled.
local closing = require "every_lua".closing
local expect = require "expect"
local sandbox = require "sandbox"
local zenlayer = require "zenlayer"

local box

lazy_setup(function()
    box = sandbox.start()
end)

lazy_teardown(function()
    box:stop()
end)

before_each(function()
    box:faults {}
end)

-- Poll until nothing is left, or for 20 s.
local function finish(client)
    local limit = os.time() + 20
    while client:poll(0.1) > 0 do
        assert(os.time() < limit, "the jobs do not end")
    end
end

describe("a job", function()
    it("is nothing until the client is polled", function()
        local client = closing(box:client())
        local job = client:submit_stop_instances(box:ids(1))
        assert.is_false(job:done())
        assert.is_nil(job:result())
        assert.equal(0, #box:requests())
        finish(client)
        assert.is_true(job:done())
        assert.equal(1, #box:requests())
    end)

    it("ends with what the blocking method returns, as often as it is asked", function()
        local client = closing(box:client())
        local ids = box:ids(250)
        local job = client:submit_stop_instances(ids, { force_shutdown = false })
        finish(client)
        for _ = 1, 2 do
            local request_ids, batches = job:result()
            assert.equal(3, #request_ids)
            expect.partition(ids, batches)
        end
        for _, request in ipairs(box:requests()) do
            assert.is_false(request.params.forceShutdown)
        end
    end)

    it("of any action gives the response and the request id", function()
        local client = closing(box:client())
        local job = client:submit_call("Echo", { a = { 1, 2 } })
        assert.is_true(job:wait(20))
        local response, request_id = job:result()
        assert.same({ a = { 1, 2 } }, response.params)
        assert.equal(box:requests()[1].request_id, request_id)
    end)

    it("gives its error as the blocking method does", function()
        local client = closing(box:client())
        local ids = box:ids(1, "missing-")
        local _, blocking = client:stop_instances(ids)
        local job = client:submit_stop_instances(ids)
        assert.is_true(job:wait(20))
        local err = expect.failure({ code = "INVALID_INSTANCE_NOT_FOUND" }, job:result())
        for name, value in pairs(blocking) do
            if type(value) ~= "table" and name ~= "request_id" then
                assert.equal(value, err[name])
            end
        end
        local raising = closing(box:raising_client())
        job = raising:submit_stop_instances(ids)
        assert.is_true(job:wait(20))
        local ok, raised = pcall(job.result, job)
        assert.is_false(ok)
        assert.equal("INVALID_INSTANCE_NOT_FOUND", raised.code)
    end)

    it("has its arguments checked when it is submitted", function()
        local client = closing(box:client())
        expect.failure({ code = "INVALID_ARGUMENT", where = "instance_ids[1]" },
            client:submit_stop_instances { 1 })
        expect.failure({ code = "UNKNOWN_OPTION" }, client:submit_call("Echo", {}, { x = 1 }))
        assert.equal(0, client:poll())
    end)

    it("runs to its end though nobody holds it", function()
        local client = closing(box:client())
        for _ = 1, 20 do
            client:submit_stop_instances(box:ids(1))
        end
        collectgarbage()
        finish(client)
        local acted = 0
        for _, request in ipairs(box:requests()) do
            acted = acted + (request.acted and 1 or 0)
        end
        assert.equal(20, acted)
    end)

    it("is one of many on few connections", function()
        local client = closing(box:client { max_concurrency = 3 })
        local jobs = {}
        for i = 1, 60 do
            jobs[i] = client:submit_stop_instances(box:ids(1))
        end
        local left = 60
        while left > 0 do
            local now = client:poll(1)
            assert.is_true(now <= left)
            left = now
        end
        for _, job in ipairs(jobs) do
            expect.success(job:result())
        end
        assert.is_true(#box:connections() <= 3)
    end)

    it("goes on while a blocking call waits", function()
        local client = closing(box:client())
        local job = client:submit_stop_instances(box:ids(1))
        expect.success(client:call("Echo"))
        assert.is_true(job:wait(20))
        expect.success(job:result())
    end)
end)

describe("waiting for a job", function()
    it("tells whether it is done, and does not outstay its time", function()
        local client = closing(box:client())
        box:faults { { fault = "delay", seconds = 1 } }
        local job = client:submit_call("Echo")
        assert.is_false(job:wait(0))
        assert.is_false(job:wait(0.05))
        assert.is_true(job:wait())
        assert.is_true(job:wait(0))
    end)

    it("takes seconds and nothing else", function()
        local client = closing(box:client())
        local job = client:submit_call("Echo")
        for _, seconds in ipairs { -1, 0 / 0, 1 / 0, "1", {} } do
            expect.failure({ code = "INVALID_ARGUMENT", where = "seconds" }, job:wait(seconds))
            expect.failure({ code = "INVALID_ARGUMENT", where = "seconds" }, client:poll(seconds))
        end
    end)
end)

describe("cancelling", function()
    it("before anything was sent leaves nothing done", function()
        local client = closing(box:client())
        local job = client:submit_stop_instances(box:ids(3))
        assert.is_true(job:cancel())
        assert.is_false(job:cancel())
        assert.is_true(job:done())
        expect.failure({ kind = "cancelled", code = "CANCELLED", outcome = "not_sent" },
            job:result())
        assert.equal(0, client:poll(0))
        assert.equal(0, #box:requests())
    end)

    it("what is under way is of unknown outcome", function()
        local client = closing(box:client())
        box:faults { { fault = "stall", seconds = 30, act = true } }
        local job = client:submit_stop_instances(box:ids(1))
        local limit = os.time() + 20
        while #box:requests() == 0 do
            client:poll(0.05)
            assert(os.time() < limit)
        end
        assert.is_true(job:cancel())
        local err = expect.failure({ code = "CANCELLED", outcome = "unknown" }, job:result())
        assert.equal(1, #err.batches)
        assert.equal("unknown", err.batches[1].outcome)
    end)

    it("leaves the other jobs alone", function()
        local client = closing(box:client())
        local jobs = {}
        for i = 1, 10 do
            jobs[i] = client:submit_stop_instances(box:ids(1))
        end
        client:poll(0)
        for i = 1, 10, 2 do
            jobs[i]:cancel()
        end
        finish(client)
        for i = 2, 10, 2 do
            expect.success(jobs[i]:result())
        end
    end)
end)

describe("closing the client", function()
    it("cancels what is left", function()
        local client = box:client()
        local job = client:submit_stop_instances(box:ids(1))
        client:close()
        assert.is_true(job:done())
        expect.failure({ code = "CANCELLED", outcome = "not_sent" }, job:result())
        assert.is_false(job:cancel())
        assert.is_true(job:wait())
        expect.failure({ code = "CLIENT_CLOSED" }, client:poll())
        expect.failure({ code = "CLIENT_CLOSED" }, client:submit_call("Echo"))
    end)

    it("leaves the results of what was done", function()
        local client = box:client()
        local job = client:submit_call("Echo", { a = 1 })
        assert.is_true(job:wait(20))
        client:close()
        collectgarbage()
        assert.equal(1, expect.success(job:result()).params.a)
    end)
end)

describe("another loop", function()
    it("is told what to watch and when to come back", function()
        local client = closing(box:client())
        assert.is_nil(client:next_timeout())
        assert.same({}, client:sockets())
        box:faults { { fault = "delay", seconds = 0.3 } }
        local job = client:submit_stop_instances(box:ids(1))
        assert.equal(0, client:next_timeout())
        local watched = 0
        local limit = os.time() + 20
        while not job:done() do
            for _, entry in ipairs(client:sockets()) do
                assert.equal("integer", math.type(entry[1]))
                assert.is_true(entry[2] == "r" or entry[2] == "w" or entry[2] == "rw")
                watched = watched + 1
            end
            local seconds = client:next_timeout()
            assert.is_true(seconds >= 0 and seconds <= 120)
            client:poll(0.05)
            assert(os.time() < limit)
        end
        assert.is_true(watched > 0)
        assert.equal(0, client:poll())
    end)
end)

-- A job that waits is not asked in every poll, but at once when there is room for it.
describe("a job that waits for room goes on when", function()
    -- Polls until nothing waits for anything but the network.
    local function settle(client)
        local limit = os.time() + 20
        repeat
            client:poll(0.01)
            assert(os.time() < limit)
        until client:next_timeout() > 1
    end

    it("another job is cancelled", function()
        local client = closing(box:client { max_concurrency = 1 })
        box:faults { { fault = "stall", seconds = 30, act = false, times = 1 } }
        local first = client:submit_call("Echo")
        local second = client:submit_call("Echo")
        settle(client)
        assert.equal(1, #box:requests())
        assert.is_true(first:cancel())
        assert.equal(0, client:next_timeout())
        assert.is_true(second:wait(10))
        assert.is_truthy(second:result())
    end)

    it("an operation of one's own has its answer", function()
        local client = closing(box:client { max_concurrency = 1 })
        local operation = client:prepare("Echo")
        assert.equal("send", (operation:step()))
        local job = client:submit_call("Echo")
        settle(client)
        assert.equal(0, #box:requests())
        operation:reply(1, 200, {}, '{"requestId":"a","response":{}}')
        assert.equal("done", (operation:step()))
        assert.equal(0, client:next_timeout())
        assert.is_true(job:wait(10))
        assert.is_truthy(job:result())
    end)
end)

it("a job's methods want a job", function()
    local client = closing(box:client())
    local job = client:submit_call("Echo")
    for _, name in ipairs { "done", "result", "wait", "cancel" } do
        expect.failure({ code = "INVALID_ARGUMENT", where = "self" }, job[name]({}))
        expect.failure({ code = "INVALID_ARGUMENT", where = "self" }, job[name](client))
    end
    assert.is_false(zenlayer.is_error(job))
end)
