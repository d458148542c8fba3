-- isolate: a batch that is refused because of some of its ids loses these, and the rest is stopped.
local closing = require "every_lua".closing
local expect = require "expect"
local sandbox = require "sandbox"

local NOT_FOUND = "INVALID_INSTANCE_NOT_FOUND"
local RECYCLED = "OPERATION_DENIED_INSTANCE_RECYCLED"
local NOT_RUNNING = "OPERATION_DENIED_INSTANCE_NOT_RUNNING"

local box

lazy_setup(function()
    box = sandbox.start { "--stop-seconds", "30" }
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

-- The ids that the sandbox really stopped.
local function acted()
    local found = {}
    for _, request in ipairs(box:requests()) do
        for _, id in ipairs(type(request.acted_ids) == "table" and request.acted_ids or {}) do
            found[id] = (found[id] or 0) + 1
        end
    end
    return found
end

-- Every id stands once in the batches; those of `bad` alone, rejected with their codes; the others
-- are accepted, and were stopped once.
local function check(ids, bad, batches)
    local stopped, seen = acted(), 0
    for _, batch in ipairs(batches) do
        seen = seen + #batch.instance_ids
        local first = batch.instance_ids[1]
        if bad[first] then
            assert.same({ first }, batch.instance_ids)
            assert.equal("rejected", batch.outcome)
            assert.equal(bad[first], batch.error.code)
            assert.is_nil(stopped[first])
        else
            assert.equal("accepted", batch.outcome)
            for _, id in ipairs(batch.instance_ids) do
                assert.is_nil(bad[id])
                assert.equal(1, stopped[id])
            end
        end
    end
    assert.equal(#ids, seen)
end

describe("isolate", function()
    it("finds the bad ids by their status, and stops the rest", function()
        local client = closing(box:client())
        local ids = box:ids(250)
        local bad = {}
        for place, kind in pairs {
            [3] = { "missing-", NOT_FOUND }, [77] = { "stopped-", NOT_RUNNING },
            [130] = { "recycled-", RECYCLED },
        } do
            ids[place] = box:ids(1, kind[1])[1]
            bad[ids[place]] = kind[2]
        end
        local err = expect.failure({ outcome = "rejected", kind = "api" },
            client:stop_instances(ids, { isolate = true }))
        check(ids, bad, err.batches)
        assert.equal(2, count "DescribeInstancesStatus")
        assert.equal(5, count "StopInstances")
        assert.equal(2, err.batches[1].attempts) -- the whole batch's, and its own
    end)

    it("asks nothing when nothing is wrong, nothing more when all is", function()
        local client = closing(box:client())
        expect.success(client:stop_instances(box:ids(150), { isolate = true }))
        assert.equal(2, #box:requests())
        box:mark()
        local ids = box:ids(5, "missing-")
        local bad = {}
        for _, id in ipairs(ids) do
            bad[id] = NOT_FOUND
        end
        local err = expect.failure({ code = NOT_FOUND },
            client:stop_instances(ids, { isolate = true }))
        check(ids, bad, err.batches)
        assert.equal(2, #box:requests())
    end)

    it("halves where there is no status to ask for", function()
        local client = closing(box:client { service = "bmc" })
        local ids = box:ids(100)
        ids[42] = box:ids(1, "missing-")[1]
        local err = expect.failure({ code = NOT_FOUND },
            client:stop_instances(ids, { isolate = true }))
        check(ids, { [ids[42]] = NOT_FOUND }, err.batches)
        assert.equal(0, count "DescribeInstancesStatus")
        assert.is_true(count "StopInstances" <= 15) -- 1 + 2 · log2(100)
    end)

    it("halves where the status cannot be asked for", function()
        local client = closing(box:client())
        box:faults { { fault = "status", status = 403, code = "AUTHFAILURE_UNAUTHORIZED_OPERATION",
            action = "DescribeInstancesStatus" } }
        local ids = box:ids(20)
        ids[7] = box:ids(1, "stopped-")[1]
        local err = expect.failure({ code = NOT_RUNNING },
            client:stop_instances(ids, { isolate = true }))
        check(ids, { [ids[7]] = NOT_RUNNING }, err.batches)
        assert.equal(1, count "DescribeInstancesStatus")
    end)

    it("does not let bad ids stop the batches that follow, but another refusal does", function()
        local client = closing(box:client { max_concurrency = 1 })
        local ids = box:ids(350)
        ids[7] = box:ids(1, "missing-")[1]
        box:faults { { fault = "status", status = 403, code = "OPERATION_DENIED",
            action = "StopInstances", requests = { 3 } } }
        local err = expect.failure({ code = NOT_FOUND, outcome = "rejected" },
            client:stop_instances(ids, { isolate = true }))
        local outcomes = {}
        for i, batch in ipairs(err.batches) do
            outcomes[i] = ("%s %d"):format(batch.outcome, #batch.instance_ids)
        end
        assert.same({ "accepted 99", "rejected 1", "rejected 100", "not_sent 100", "not_sent 50" },
            outcomes)
    end)

    it("is off without the option", function()
        local client = closing(box:client())
        local ids = box:ids(10)
        ids[7] = box:ids(1, "missing-")[1]
        local err = expect.failure({ code = NOT_FOUND }, client:stop_instances(ids))
        assert.equal(1, #err.batches)
        assert.equal(1, #box:requests())
    end)
end)
