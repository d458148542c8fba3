-- StopInstances of any number of ids: batches of a hundred, and the account of every id.
local closing = require "every_lua".closing
local expect = require "expect"
local sandbox = require "sandbox"

-- What the journal says about ids: "accepted", "rejected", "unknown" or "not_sent".
local function told_by(requests)
    local told = {}
    for _, request in ipairs(requests) do
        local acted = {}
        for _, id in ipairs(request.acted_ids or {}) do
            acted[id] = true
        end
        for _, id in ipairs(request.params.instanceIds) do
            if request.status == nil then
                told[id] = "unknown"
            else
                told[id] = acted[id] and "accepted" or "rejected"
            end
        end
    end
    return told
end

-- Every id is in one batch, and that batch's outcome is what the journal says about the id.
local function check_account(ids, batches, requests)
    expect.partition(ids, batches)
    local told = told_by(requests)
    for _, batch in ipairs(batches) do
        for _, id in ipairs(batch.instance_ids) do
            assert.equal(told[id] or "not_sent", batch.outcome)
        end
    end
end

local function count(batches, outcome)
    local n = 0
    for _, batch in ipairs(batches) do
        n = n + (batch.outcome == outcome and 1 or 0)
    end
    return n
end

describe("stop_instances", function()
    local box, client

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        client = box:client()
    end)
    after_each(function()
        client:close()
    end)

    for _, n in ipairs { 1, 99, 100, 101, 250, 1000 } do
        it(("takes %d ids"):format(n), function()
            local ids = box:ids(n)
            local request_ids, batches = expect.success(client:stop_instances(ids))
            local requests = box:requests()
            assert.equal(math.floor((n + 99) / 100), #requests)
            assert.equal(#requests, #request_ids)
            assert.equal(#requests, #batches)
            check_account(ids, batches, requests)
            local by_first_id = {}
            for _, request in ipairs(requests) do
                by_first_id[request.params.instanceIds[1]] = request
                assert.equal("StopInstances", request.action)
                assert.equal("vm", request.service)
                assert.is_true(request.verified)
            end
            for i, batch in ipairs(batches) do
                local request = by_first_id[batch.instance_ids[1]]
                assert.same(request.params.instanceIds, batch.instance_ids)
                assert.equal(request.request_id, request_ids[i])
                assert.equal(request.request_id, batch.request_id)
                assert.equal("accepted", batch.outcome)
                assert.equal(1, batch.attempts)
                assert.same({ requestId = request.request_id }, batch.response)
                assert.is_nil(batch.failed_ids)
                assert.is_nil(batch.error)
            end
        end)
    end

    it("drops repeats and keeps the order", function()
        local unique = box:ids(150)
        local ids = {}
        for i = 1, #unique do
            ids[#ids + 1] = unique[i]
            ids[#ids + 1] = unique[math.floor((i + 1) / 2)]
        end
        local _, batches = expect.success(client:stop_instances(ids))
        check_account(unique, batches, box:requests())
        assert.equal(2, #box:requests())
    end)

    it("does not change or keep the list it was given", function()
        local ids = box:ids(3)
        local copy = { table.unpack(ids) }
        ids[4] = ids[1]
        local _, batches = expect.success(client:stop_instances(ids))
        assert.same({ copy[1], copy[2], copy[3], copy[1] }, ids)
        ids[1] = "changed"
        assert.same(copy, batches[1].instance_ids)
    end)

    it("sends ids of any text", function()
        local ids = { "a b", "q\"uo\\te", "/slash", "\226\130\172", "tab\t", "new\nline", "123" }
        local _, batches = expect.success(client:stop_instances(ids))
        assert.same(ids, box:requests()[1].params.instanceIds)
        assert.same(ids, batches[1].instance_ids)
    end)

    it("sends forceShutdown only if it was asked for, false too", function()
        for _, case in ipairs { {}, { force_shutdown = false }, { force_shutdown = true } } do
            box:mark()
            expect.success(client:stop_instances(box:ids(101), case))
            local requests = box:requests()
            assert.equal(2, #requests)
            for _, request in ipairs(requests) do
                assert.equal(case.force_shutdown, request.params.forceShutdown)
            end
        end
    end)

    it("begins nothing more after a refusal", function()
        client:close()
        client = box:client { max_concurrency = 1 }
        local ids = box:ids(1000)
        ids[350] = box:ids(1, "missing-")[1] -- in the fourth of ten
        local err = expect.failure({
            kind = "api", code = "INVALID_INSTANCE_NOT_FOUND", outcome = "rejected", attempts = 1,
            http_status = 404, action = "StopInstances",
        }, client:stop_instances(ids))
        local requests = box:requests()
        assert.equal(4, #requests)
        check_account(ids, err.batches, requests)
        assert.equal(10, #err.batches)
        for i, batch in ipairs(err.batches) do
            local outcome = i < 4 and "accepted" or i == 4 and "rejected" or "not_sent"
            assert.equal(outcome, batch.outcome)
            assert.equal(i <= 4 and 1 or 0, batch.attempts)
            assert.equal(requests[i] and requests[i].request_id, batch.request_id)
        end
        assert.equal("INVALID_INSTANCE_NOT_FOUND", err.batches[4].error.code)
        assert.equal(err.request_id, err.batches[4].request_id)
        assert.is_nil(err.batches[1].error)
        assert.is_table(err.batches[1].response)
    end)

    it("tells the truth about batches that were under way beside the refused one", function()
        local ids = box:ids(1000)
        ids[1] = box:ids(1, "missing-")[1]
        box:faults { { fault = "delay", seconds = 0.05 } }
        local err = expect.failure({
            code = "INVALID_INSTANCE_NOT_FOUND", outcome = "rejected",
        }, client:stop_instances(ids))
        check_account(ids, err.batches, box:requests())
        assert.equal(10, #err.batches)
        assert.equal("rejected", err.batches[1].outcome)
    end)

    it("goes on after a refusal if asked to", function()
        local ids = box:ids(500)
        ids[1] = box:ids(1, "missing-")[1]
        ids[350] = box:ids(1, "stopped-")[1]
        local err = expect.failure({ kind = "api", outcome = "rejected" },
            client:stop_instances(ids, { on_error = "continue" }))
        local requests = box:requests()
        assert.equal(5, #requests)
        check_account(ids, err.batches, requests)
        assert.equal("INVALID_INSTANCE_NOT_FOUND", err.batches[1].error.code)
        assert.equal("OPERATION_DENIED_INSTANCE_NOT_RUNNING", err.batches[4].error.code)
        assert.equal(3, count(err.batches, "accepted"))
    end)

    it("on_error = \"stop\" is the default", function()
        client:close()
        client = box:client { max_concurrency = 1 }
        local ids = box:ids(250)
        ids[1] = box:ids(1, "missing-")[1]
        local err = expect.failure({ outcome = "rejected" },
            client:stop_instances(ids, { on_error = "stop" }))
        assert.equal(1, #box:requests())
        assert.equal(2, count(err.batches, "not_sent"))
    end)

    it("is unknown if any batch is", function()
        client:close()
        client = box:client { max_concurrency = 1, max_attempts = 1 }
        local ids = box:ids(400)
        ids[1] = box:ids(1, "missing-")[1]
        box:faults { { fault = "reset_after", requests = { 2 } } }
        local err = expect.failure({ outcome = "unknown", code = "INVALID_INSTANCE_NOT_FOUND" },
            client:stop_instances(ids, { on_error = "continue" }))
        local outcomes = {}
        for i, batch in ipairs(err.batches) do
            outcomes[i] = batch.outcome
        end
        assert.same({ "rejected", "unknown", "accepted", "accepted" }, outcomes)
        expect.partition(ids, err.batches)
        assert.equal("CONNECTION_LOST", err.batches[2].error.code)
        assert.is_nil(err.batches[2].request_id)
    end)

    it("keeps the account when everything fails in its own way", function()
        client:close()
        client = box:client { max_attempts = 1 }
        local ids = box:ids(1000)
        box:faults {
            { fault = "status", status = 403, code = "A", requests = { 1, 5 } },
            { fault = "reset_before", requests = { 2 } },
            { fault = "close_after", requests = { 3 } },
            { fault = "rate_limit", requests = { 4 } },
            { fault = "not_json", requests = { 6 }, act = true },
            { fault = "challenge", requests = { 7 } },
        }
        local err = expect.failure({ outcome = "unknown" },
            client:stop_instances(ids, { on_error = "continue" }))
        expect.partition(ids, err.batches)
        local requests = box:requests()
        assert.equal(10, #requests)
        local request_of = {}
        for _, request in ipairs(requests) do
            request_of[request.params.instanceIds[1]] = request
        end
        local wanted = {
            reset_before = "unknown", close_after = "unknown", not_json = "unknown",
            status = "rejected", rate_limit = "rejected", challenge = "rejected",
        }
        for _, batch in ipairs(err.batches) do
            local request = request_of[batch.instance_ids[1]]
            local fault = type(request.fault) == "string" and request.fault or nil
            assert.equal(fault and wanted[fault] or "accepted", batch.outcome)
            assert.equal(1, batch.attempts)
            assert.equal(fault ~= nil, batch.error ~= nil)
        end
    end)

    it("goes to another service, with its version", function()
        for service, version in pairs { zec = "2025-09-01", bmc = "2026-02-01" } do
            box:mark()
            local ids = box:ids(101)
            local _, batches = expect.success(client:stop_instances(ids, { service = service }))
            local requests = box:requests()
            check_account(ids, batches, requests)
            for _, request in ipairs(requests) do
                assert.equal(service, request.service)
                assert.equal(version, request.version)
                assert.equal(service, request.headers["x-zc-service"])
                assert.is_nil(request.params.forceShutdown)
            end
        end
    end)

    it("of a client for bmc goes there", function()
        client:close()
        client = box:client { service = "bmc" }
        expect.success(client:stop_instances(box:ids(1)))
        assert.equal("bmc", box:requests()[1].service)
        assert.equal("2026-02-01", box:requests()[1].version)
    end)

    it("sends an api_version of one's own", function()
        expect.success(client:stop_instances(box:ids(1), { api_version = "2023-03-13" }))
        assert.equal("2023-03-13", box:requests()[1].version)
    end)

    it("makes zec's failed ids an error", function()
        local ids = box:ids(150)
        local failed = { box:ids(1, "stopped-")[1], box:ids(1, "imaging-")[1] }
        ids[120], ids[130] = failed[1], failed[2]
        local err = expect.failure({
            kind = "api", code = "PARTIAL_FAILURE", outcome = "rejected", http_status = 200,
            action = "StopInstances", attempts = 1,
        }, client:stop_instances(ids, { service = "zec" }))
        local requests = box:requests()
        expect.partition(ids, err.batches)
        assert.equal("accepted", err.batches[1].outcome)
        assert.is_nil(err.batches[1].failed_ids)
        local batch = err.batches[2]
        assert.equal("accepted", batch.outcome)
        assert.same(failed, batch.failed_ids)
        assert.equal("PARTIAL_FAILURE", batch.error.code)
        assert.equal("rejected", batch.error.outcome)
        assert.same(failed, batch.response.instanceIds)
        for _, request in ipairs(requests) do
            if request.params.instanceIds[1] == batch.instance_ids[1] then
                assert.equal(request.request_id, batch.request_id)
                assert.equal(48, #request.acted_ids)
            end
        end
    end)

    it("an empty list of failed ids is none", function()
        box:faults { {
            fault = "answer", body = '{"requestId":"T1","response":{"instanceIds":[]}}',
        } }
        expect.success(client:stop_instances(box:ids(1), { service = "zec" }))
    end)

    it("failed ids of an odd kind make it no answer of the API", function()
        for _, ids in ipairs { '"id"', '[1]', '[""]', '[["a"]]', '{"a":"b"}', "7" } do
            local odd = closing(box:client { max_attempts = 1 })
            local body = '{"requestId":"T1","response":{"instanceIds":' .. ids .. "}}"
            box:faults { { fault = "answer", body = body } }
            local err = expect.failure({ code = "BAD_RESPONSE", outcome = "unknown" },
                odd:stop_instances(box:ids(1), { service = "zec" }))
            assert.equal("unknown", err.batches[1].outcome)
        end
    end)

    -- The first of several batches is answered with these failed ids, byte for byte.
    local function answered_with(failed, ids)
        local odd = closing(box:client { max_attempts = 1, max_concurrency = 1 })
        local quoted = {}
        for i, id in ipairs(failed) do
            quoted[i] = '"' .. id:gsub("%z", "\\u0000") .. '"'
        end
        local body = ('{"requestId":"T1","response":{"instanceIds":[%s]}}'):format(
            table.concat(quoted, ","))
        box:faults { {
            fault = "answer", requests = { 1 }, body_hex = body:gsub(".", function(c)
                return ("%02x"):format(c:byte())
            end),
        } }
        local err = expect.failure({
            code = "BAD_RESPONSE", kind = "protocol", outcome = "unknown", attempts = 1,
        }, odd:stop_instances(ids, { service = "zec" }))
        expect.partition(ids, err.batches)
        assert.equal("unknown", err.batches[1].outcome)
        assert.equal("BAD_RESPONSE", err.batches[1].error.code)
        for i, batch in ipairs(err.batches) do
            assert.is_nil(batch.failed_ids)
            assert.equal(i == 1 and "unknown" or "not_sent", batch.outcome)
        end
        assert.equal(1, #box:requests())
    end

    it("failed ids that are no ids make it no answer of the API", function()
        for _, tail in ipairs {
            "\0", "\0x", "\255", "\237\160\128", "\192\175", "\226\130",
        } do
            local ids = box:ids(2)
            answered_with({ ids[1] .. tail }, ids)
            answered_with({ ids[1], ids[2] .. tail }, ids)
        end
        answered_with({ "\0" }, box:ids(1))
    end)

    it("failed ids that were not asked for make it no answer of the API", function()
        local ids = box:ids(250)
        for _, failed in ipairs {
            { "stranger" }, { ids[101] }, { ids[250] }, { ids[1], ids[100], ids[101] },
            { ids[1]:upper() }, { ids[1]:sub(1, -2) }, { ids[1] .. " " },
        } do
            answered_with(failed, ids)
        end
    end)

    it("can be told to continue past failed ids", function()
        local ids = box:ids(300)
        ids[1] = box:ids(1, "stopped-")[1]
        local err = expect.failure({ code = "PARTIAL_FAILURE", outcome = "rejected" },
            client:stop_instances(ids, { service = "zec", on_error = "continue" }))
        assert.equal(3, count(err.batches, "accepted"))
        assert.same({ ids[1] }, err.batches[1].failed_ids)
    end)
end)
