-- A stop whose answer was lost, and which is refused when it is sent again because nothing runs any
-- more: the status of its instances tells what became of it.
local closing = require "every_lua".closing
local expect = require "expect"
local sandbox = require "sandbox"

local box

lazy_setup(function()
    box = sandbox.start { "--stop-seconds", "1" }
end)

lazy_teardown(function()
    box:stop()
end)

before_each(function()
    box:faults {}
end)

local function count(action)
    local n = 0
    for _, request in ipairs(box:requests()) do
        n = n + (request.action == action and 1 or 0)
    end
    return n
end

local NOT_RUNNING = "OPERATION_DENIED_INSTANCE_NOT_RUNNING"

describe("a lost stop that was done", function()
    for _, fault in ipairs { "reset_after", "close_after" } do
        it(("is accepted, by %s"):format(fault), function()
            local client = closing(box:client())
            box:faults { { fault = fault, action = "StopInstances", times = 1 } }
            local ids = box:ids(3)
            local request_ids, batches = expect.success(client:stop_instances(ids))
            assert.same({ false }, request_ids)
            expect.partition(ids, batches)
            assert.equal("accepted", batches[1].outcome)
            assert.equal("status", batches[1].confirmed_by)
            assert.equal(2, batches[1].attempts)
            assert.is_nil(batches[1].request_id)
            assert.is_nil(batches[1].response)
            assert.equal(2, count "StopInstances")
            assert.equal(1, count "DescribeInstancesStatus")
        end)
    end

    it("is one of several batches", function()
        local client = closing(box:client { max_concurrency = 1 })
        box:faults { { fault = "reset_after", action = "StopInstances", requests = { 2 } } }
        local request_ids, batches = expect.success(client:stop_instances(box:ids(250)))
        assert.equal("string", type(request_ids[1]))
        assert.is_false(request_ids[2])
        assert.equal("string", type(request_ids[3]))
        assert.equal(3, #request_ids)
        assert.is_nil(batches[1].confirmed_by)
        assert.equal("status", batches[2].confirmed_by)
    end)

    it("leaves ids unknown that zec then says have failed", function()
        local client = closing(box:client { service = "zec" })
        box:faults { { fault = "reset_after", action = "StopInstances", times = 1 } }
        local ids = box:ids(2)
        local err = expect.failure({ code = "PARTIAL_FAILURE", outcome = "unknown", attempts = 2 },
            client:stop_instances(ids, { force_shutdown = false }))
        assert.same(ids, box:requests()[1].acted_ids)
        assert.same(ids, err.batches[1].failed_ids)
        assert.equal("unknown", err.batches[1].error.outcome)
    end)

    it("is so in service zec too", function()
        local client = closing(box:client { service = "zec" })
        box:faults {
            { fault = "reset_after", action = "StopInstances", times = 1 },
            { fault = "status", status = 403, code = NOT_RUNNING, action = "StopInstances" },
        }
        local request_ids = expect.success(client:stop_instances(box:ids(2)))
        assert.same({ false }, request_ids)
    end)

    it("stays unknown in bmc, where there is no status", function()
        local client = closing(box:client { service = "bmc" })
        box:faults { { fault = "reset_after", action = "StopInstances", times = 1 } }
        expect.failure({ code = NOT_RUNNING, outcome = "unknown", attempts = 2 },
            client:stop_instances(box:ids(2)))
        assert.equal(2, #box:requests())
    end)

    it("stays unknown when the look fails", function()
        local client = closing(box:client { max_attempts = 2 })
        box:faults {
            { fault = "reset_after", action = "StopInstances", times = 1 },
            { fault = "status", status = 500, action = "DescribeInstancesStatus" },
        }
        expect.failure({ code = NOT_RUNNING, outcome = "unknown", attempts = 2 },
            client:stop_instances(box:ids(2)))
        assert.equal(2, count "DescribeInstancesStatus")
    end)

    it("is confirmed although the look is troubled at first", function()
        local client = closing(box:client())
        box:faults {
            { fault = "reset_after", action = "StopInstances", times = 1 },
            { fault = "rate_limit", action = "DescribeInstancesStatus", times = 1 },
            { fault = "reset_before", action = "DescribeInstancesStatus", times = 1 },
        }
        local _, batches = expect.success(client:stop_instances(box:ids(2)))
        assert.equal("status", batches[1].confirmed_by)
        assert.equal(2, batches[1].attempts)
    end)
end)

describe("a lost stop that was not done", function()
    it("is unknown while an instance of it runs", function()
        local client = closing(box:client())
        local ids = box:ids(2)
        ids[3] = box:ids(1, "stopped-")[1]
        box:faults { { fault = "reset_before", action = "StopInstances", times = 1 } }
        local err = expect.failure({ code = NOT_RUNNING, outcome = "unknown", attempts = 2 },
            client:stop_instances(ids))
        assert.equal("unknown", err.batches[1].outcome)
        assert.equal(1, count "DescribeInstancesStatus")
        for _, request in ipairs(box:requests()) do
            assert.is_true(request.action ~= "StopInstances" or not request.acted)
        end
    end)

    it("is confirmed where all of them were stopped anyway, whoever did it", function()
        local client = closing(box:client())
        box:faults { { fault = "reset_before", action = "StopInstances", times = 1 } }
        local _, batches = expect.success(client:stop_instances(box:ids(2, "stopped-")))
        assert.equal("status", batches[1].confirmed_by)
    end)
end)

it("a refusal without a lost attempt is a refusal, and nobody looks", function()
    local client = closing(box:client())
    expect.failure({ code = NOT_RUNNING, outcome = "rejected", attempts = 1 },
        client:stop_instances(box:ids(2, "stopped-")))
    assert.equal(1, #box:requests())
end)

it("a prepared operation asks its driver for the look, under the number of the batch", function()
    local client = closing(box:client())
    local op = client:prepare_stop_instances { "a", "b" }
    assert.equal("send", (op:step()))
    op:failed(1, "the line is dead", true)
    local what, seconds = op:step()
    while what == "wait" do
        os.execute("sleep " .. seconds)
        what, seconds = op:step()
    end
    assert.equal("send", what)
    op:reply(1, 403, {}, ('{"requestId":"T2","code":"%s"}'):format(NOT_RUNNING))
    local _, n, request = op:step()
    assert.equal(1, n)
    assert.equal("DescribeInstancesStatus", request.headers["X-ZC-Action"])
    assert.equal('{"instanceIds":["a","b"],"pageSize":2}', request.body)
    op:reply(1, 200, {}, '{"requestId":"T3","response":{"totalCount":2,"dataSet":[' ..
        '{"instanceId":"b","instanceStatus":"STOPPED"},' ..
        '{"instanceId":"a","instanceStatus":"STOPPING"}]}}')
    assert.equal("done", (op:step()))
    assert.same({ false }, (op:result()))
end)
