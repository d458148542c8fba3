-- Waiting until instances are STOPPED: after a stop, by itself, as a job, and with a grace.
local closing = require "every_lua".closing
local expect = require "expect"
local sandbox = require "sandbox"

local box

lazy_setup(function()
    box = sandbox.start { "--stop-seconds", "0.3", "--graceful-seconds", "0.6" }
end)

lazy_teardown(function()
    box:stop()
end)

before_each(function()
    box:faults {}
end)

local function fast(options)
    local all = { wait_min_delay = 0.05, wait_max_delay = 0.1, wait_timeout = 20 }
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    return all
end

local function requests_of(action)
    local found = {}
    for _, request in ipairs(box:requests()) do
        if request.action == action then
            found[#found + 1] = request
        end
    end
    return found
end

local function all_stopped(client, ids)
    local statuses = expect.success(client:describe_instances_status(ids))
    for _, id in ipairs(ids) do
        assert.equal("STOPPED", statuses[id])
    end
end

describe("stop_instances with wait", function()
    it("returns when all are STOPPED, with what it returns without", function()
        local client = closing(box:client())
        local ids = box:ids(250)
        local wait = fast { wait = true }
        local request_ids, batches = expect.success(client:stop_instances(ids, wait))
        assert.equal(3, #request_ids)
        expect.partition(ids, batches)
        all_stopped(client, ids)
    end)

    it("asks only for those that are not STOPPED, a hundred at a time, on one page",
        function()
            local client = closing(box:client { max_concurrency = 1 }) -- one after another
            local ids = box:ids(150)
            expect.success(client:stop_instances(ids, { force_shutdown = true }))
            expect.success(client:wait_until_stopped(ids, fast()))
            box:mark()
            local late = box:ids(1)
            expect.success(client:stop_instances(late))
            table.move(late, 1, 1, #ids + 1, ids)
            expect.success(client:wait_until_stopped(ids, fast()))
            local looks = requests_of "DescribeInstancesStatus"
            assert.is_true(#looks > 2)
            assert.equal(100, #looks[1].params.instanceIds)
            assert.equal(51, #looks[2].params.instanceIds)
            for i, look in ipairs(looks) do
                assert.equal(#look.params.instanceIds, look.params.pageSize)
                if i > 2 then
                    assert.same(late, look.params.instanceIds)
                end
            end
        end)

    it("does not wait when a batch was refused", function()
        local client = closing(box:client { max_concurrency = 1 })
        local ids = box:ids(150)
        ids[120] = box:ids(1, "missing-")[1]
        local err = expect.failure({ code = "INVALID_INSTANCE_NOT_FOUND", outcome = "rejected" },
            client:stop_instances(ids, fast { wait = true }))
        expect.partition(ids, err.batches)
        assert.equal(0, #requests_of "DescribeInstancesStatus")
    end)

    it("waits for the others with on_error = continue", function()
        local client = closing(box:client())
        local ids = box:ids(150)
        ids[120] = box:ids(1, "missing-")[1]
        local err = expect.failure({ code = "INVALID_INSTANCE_NOT_FOUND", outcome = "rejected" },
            client:stop_instances(ids, fast { wait = true, on_error = "continue" }))
        expect.partition(ids, err.batches)
        for i = 1, 100 do
            assert.equal("STOPPED", err.statuses[ids[i]])
        end
        assert.is_nil(err.statuses[ids[101]])
        assert.same({}, err.failed_ids)
    end)
end)

describe("wait_until_stopped", function()
    it("gives the statuses", function()
        local client = closing(box:client())
        local ids = box:ids(3)
        expect.success(client:stop_instances(ids))
        local statuses = expect.success(client:wait_until_stopped(ids, fast()))
        assert.same({ [ids[1]] = "STOPPED", [ids[2]] = "STOPPED", [ids[3]] = "STOPPED" }, statuses)
        assert.equal(0, #requests_of "StopInstances" - 1)
    end)

    it("ends at wait_timeout, with the last status of every id", function()
        local client = closing(box:client())
        local ids = box:ids(2, "stuck-")
        local running = box:ids(1)[1]
        expect.success(client:stop_instances(ids))
        local all = { ids[1], running, ids[2] }
        local err = expect.failure({ code = "WAIT_TIMEOUT", kind = "timeout", outcome = "unknown" },
            client:wait_until_stopped(all, fast { wait_timeout = 0.3 }))
        assert.same({ [ids[1]] = "STOPPING", [running] = "RUNNING", [ids[2]] = "STOPPING" },
            err.statuses)
        assert.same({}, err.failed_ids)
        expect.partition(all, err.batches)
        assert.equal("unknown", err.batches[1].outcome)
    end)

    for beginning, status in pairs {
        ["missing-"] = false, ["releasing-"] = "RELEASING", ["recycle-"] = "RECYCLE",
        ["recycling-"] = "RECYCLING", ["create-failed-"] = "CREATE_FAILED",
    } do
        it(("ends for an id that is %s, and goes on for the others"):format(status or "missing"),
            function()
                local client = closing(box:client())
                local bad, good = box:ids(1, beginning)[1], box:ids(1)[1]
                expect.success(client:stop_instances { good })
                local err = expect.failure({
                    code = "UNEXPECTED_STATE", kind = "state", outcome = "unknown",
                }, client:wait_until_stopped({ bad, good }, fast()))
                assert.same({ bad }, err.failed_ids)
                assert.same({ [good] = "STOPPED", [bad] = status or nil }, err.statuses)
            end)
    end

    it("needs an id to be missing twice in a row", function()
        local client = closing(box:client())
        local id = box:ids(1, "missing-")[1]
        expect.failure({ code = "UNEXPECTED_STATE" }, client:wait_until_stopped({ id }, fast()))
        assert.equal(2, #requests_of "DescribeInstancesStatus")
    end)

    it("is not ended by rate limits and what may pass", function()
        local client = closing(box:client { max_attempts = 1 })
        local ids = box:ids(2)
        expect.success(client:stop_instances(ids))
        box:faults {
            { fault = "reset_before", action = "DescribeInstancesStatus", requests = { 1 } },
            { fault = "rate_limit", action = "DescribeInstancesStatus", requests = { 2 } },
            { fault = "status", status = 503, code = "SERVICE_TEMPORARY_UNAVAILABLE",
                 action = "DescribeInstancesStatus", requests = { 3 } },
        }
        expect.success(client:wait_until_stopped(ids, fast()))
        assert.is_true(#requests_of "DescribeInstancesStatus" >= 4)
    end)

    it("is ended by what will not pass", function()
        local client = closing(box:client { access_key_password = "another",
            access_key_id = box.KEY_ID })
        expect.failure({ code = "AUTHFAILURE_SIGNATURE_FAILURE", outcome = "rejected" },
            client:wait_until_stopped(box:ids(2), fast()))
        assert.equal(1, #box:requests())
    end)

    it("is a job, and an operation of one's own", function()
        local client = closing(box:client())
        local ids = box:ids(2)
        expect.success(client:stop_instances(ids))
        local job = client:submit_wait_until_stopped(ids, fast())
        assert.is_true(job:wait(20))
        assert.equal("STOPPED", job:result()[ids[2]])

        local op = client:prepare_wait_until_stopped({ "a" }, { wait_timeout = 60 })
        local step, n, what = op:step()
        assert.equal("send", step)
        assert.equal('{"instanceIds":["a"],"pageSize":1}', what.body)
        assert.is_true(op:reply(n, 200, {}, '{"requestId":"T-1","response":{"requestId":"T-1",'
            .. '"totalCount":1,"dataSet":[{"instanceId":"a","instanceStatus":"STOPPING"}]}}'))
        local waiting, seconds = op:step()
        assert.equal("wait", waiting)
        assert.is_true(seconds > 1.5 and seconds <= 2) -- the first delay is the least one
    end)

    it("can be cancelled", function()
        local client = closing(box:client())
        local ids = box:ids(1, "stuck-")
        local job = client:submit_stop_instances(ids, fast { wait = true })
        job:wait(0.3)
        assert.is_true(job:cancel())
        local err = expect.failure({ code = "CANCELLED", outcome = "unknown" }, job:result())
        assert.equal("accepted", err.batches[1].outcome)
    end)
end)

describe("a grace", function()
    it("needs no force where it suffices", function()
        local client = closing(box:client())
        local ids = box:ids(3)
        local _, batches = expect.success(client:stop_instances(ids, fast { grace = 20 }))
        assert.is_nil(batches[1].forced)
        local stops = requests_of "StopInstances"
        assert.equal(1, #stops)
        assert.is_false(stops[1].params.forceShutdown)
        all_stopped(client, ids)
    end)

    it("is followed by force for what is not STOPPED", function()
        local client = closing(box:client { service = "zec" }) -- a stop under way may be forced
        local slow, stopped = box:ids(2, "slow-"), box:ids(1)[1]
        expect.success(client:stop_instances({ stopped }, fast { wait = true }))
        box:mark()
        local ids = { slow[1], slow[2] }
        local _, batches = expect.success(client:stop_instances(ids, fast { grace = 0.2 }))
        local stops = requests_of "StopInstances"
        assert.equal(2, #stops)
        assert.is_false(stops[1].params.forceShutdown)
        assert.is_true(stops[2].params.forceShutdown)
        assert.same(ids, stops[2].params.instanceIds)
        assert.equal("accepted", batches[1].outcome)
        assert.equal(stops[1].request_id, batches[1].request_id)
        assert.equal(1, #batches[1].forced)
        assert.equal("accepted", batches[1].forced[1].outcome)
        assert.equal(stops[2].request_id, batches[1].forced[1].request_id)
        assert.same(ids, batches[1].forced[1].instance_ids)
    end)

    it("goes on waiting where the force is refused because they stop already", function()
        local client = closing(box:client()) -- vm: only what runs may be stopped
        local ids = box:ids(2)
        local _, batches = expect.success(client:stop_instances(ids, fast { grace = 0.1 }))
        assert.equal("accepted", batches[1].outcome)
        assert.equal("rejected", batches[1].forced[1].outcome)
        assert.equal("OPERATION_DENIED_INSTANCE_NOT_RUNNING", batches[1].forced[1].error.code)
        assert.equal(2, #requests_of "StopInstances")
        all_stopped(client, ids)
    end)
end)

describe("on_progress", function()
    it("is told after each round, up to the end", function()
        local client = closing(box:client())
        local ids, told = box:ids(130), {}
        expect.success(client:stop_instances(ids, fast {
            wait = true,
            on_progress = function(progress) told[#told + 1] = progress end,
        }))
        assert.is_true(#told >= 2)
        for _, progress in ipairs(told) do
            assert.equal(130, progress.stopped + progress.pending + progress.failed)
        end
        local last = told[#told]
        assert.equal(130, last.stopped)
        assert.equal("STOPPED", last.statuses[ids[130]])
    end)

    it("may poll, call, and wait", function()
        local client = closing(box:client())
        local calls = 0
        local ids = box:ids(2)
        expect.success(client:stop_instances(ids, fast {
            wait = true,
            on_progress = function()
                calls = calls + 1
                client:poll(0)
                expect.success(client:call("Echo", {}))
                client:poll(0.01)
            end,
        }))
        assert.is_true(calls >= 2)
        all_stopped(client, ids)
    end)

    for _, form in ipairs { "blocking", "poll", "wait" } do
        it(("may close the client, %s"):format(form), function()
            local client = box:client()
            local options = fast {
                wait = true,
                on_progress = function() client:close() end,
            }
            local function result()
                if form == "blocking" then
                    return client:stop_instances(box:ids(2), options)
                end
                local job = client:submit_stop_instances(box:ids(2), options)
                local limit = os.time() + 20
                while not job:done() do
                    assert(os.time() < limit)
                    if form == "poll" then
                        client:poll(0.1)
                    else
                        job:wait(0.1)
                    end
                end
                return job:result()
            end
            local err = expect.failure({ code = "CANCELLED", outcome = "unknown" }, result())
            assert.equal("accepted", err.batches[1].outcome)
        end)
    end

    it("may raise: the call ends with that, and the client is well", function()
        local client = closing(box:client())
        local ok, err = pcall(client.stop_instances, client, box:ids(2), fast {
            wait = true,
            on_progress = function() error("enough", 0) end,
        })
        assert.is_false(ok)
        assert.equal("enough", err)
        expect.success(client:stop_instances(box:ids(1)))
    end)

    it("may raise: poll hands it on, and the job goes on", function()
        local client = closing(box:client())
        local raised = 0
        local job = client:submit_stop_instances(box:ids(2), fast {
            wait = true,
            on_progress = function() error("enough", 0) end,
        })
        local limit = os.time() + 20
        while not job:done() do
            assert(os.time() < limit)
            local ok, err = pcall(client.poll, client, 0.1)
            if not ok then
                assert.equal("enough", err)
                raised = raised + 1
            end
        end
        assert.is_true(raised >= 2)
        assert.equal(1, #expect.success(job:result()))
    end)
end)

describe("options of waiting", function()
    local function refused(where, options, method)
        local client = closing(box:client())
        expect.failure({ code = "INVALID_ARGUMENT", where = "options." .. where },
            client[method or "stop_instances"](client, { "a" }, options))
        assert.equal(0, #box:requests())
    end

    it("that would do nothing are refused", function()
        refused("wait_timeout", { wait_timeout = 3 })
        refused("wait_min_delay", { wait = false, wait_min_delay = 3 })
        refused("on_progress", { on_progress = print })
    end)

    it("that contradict each other are refused", function()
        refused("grace", { grace = 3, wait = false })
        refused("force_shutdown", { grace = 3, force_shutdown = true })
        refused("wait_min_delay", { wait = true, wait_min_delay = 3, wait_max_delay = 2 })
    end)

    it("that are beyond the default of the other one move it", function()
        local client = closing(box:client())
        local function waits(options)
            local op = expect.success(client:prepare_wait_until_stopped({ "a" }, options))
            local _, n = op:step()
            op:reply(n, 200, {}, [[{ "requestId": "r", "response": { "totalCount": 1,
                "dataSet": [{ "instanceId": "a", "instanceStatus": "RUNNING" }] } }]])
            local step, seconds = op:step()
            assert.equal("wait", step)
            return seconds
        end
        local longest = waits { wait_min_delay = 20 }
        assert.is_true(longest > 19.9 and longest <= 20, longest)
        local shortest = waits { wait_max_delay = 0.5 }
        assert.is_true(shortest > 0.4 and shortest <= 0.5, shortest)
    end)

    it("with bad values are refused", function()
        refused("grace", { grace = 0 })
        refused("wait", { wait = 1 })
        refused("isolate", { isolate = "yes" })
        refused("on_progress", { wait = true, on_progress = {} })
        refused("wait_timeout", { wait_timeout = -1 }, "wait_until_stopped")
    end)

    it("are refused for bmc, which cannot be asked", function()
        refused("wait", { wait = true, service = "bmc" })
        refused("grace", { grace = 3, service = "bmc" })
        refused("service", { service = "bmc" }, "wait_until_stopped")
    end)

    it("of a deadline do not count for wait_until_stopped", function()
        local client = closing(box:client())
        expect.failure({ code = "UNKNOWN_OPTION" },
            client:wait_until_stopped({ "a" }, { deadline = 3 }))
    end)
end)
