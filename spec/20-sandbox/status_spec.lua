-- DescribeInstancesStatus: of some ids, of a fleet page by page.
local closing = require "every_lua".closing
local expect = require "expect"
local sandbox = require "sandbox"

local function size(map)
    local n = 0
    for _ in pairs(map) do
        n = n + 1
    end
    return n
end

describe("describe_instances_status", function()
    local box, client

    setup(function()
        box = sandbox.start { "--instances", "0", "--stop-seconds", "600" }
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

    for _, n in ipairs { 1, 100, 101, 250 } do
        it(("of %d ids"):format(n), function()
            local ids = box:ids(n)
            local statuses, more = expect.success(client:describe_instances_status(ids))
            assert.is_nil(more)
            assert.equal(n, size(statuses))
            for _, id in ipairs(ids) do
                assert.equal("RUNNING", statuses[id])
            end
            local requests = box:requests()
            assert.equal(math.floor((n + 99) / 100), #requests)
            for _, request in ipairs(requests) do
                assert.equal("DescribeInstancesStatus", request.action)
                assert.is_true(request.params.pageSize >= #request.params.instanceIds)
            end
        end)
    end

    it("tells all kinds of states, and leaves out what is not there", function()
        local ids = {
            "stopped-1", "missing-1", "stopping-1", "create-failed-1", "recycled-1", "running-1",
            "missing-2", "stopped-1",
        }
        assert.same({
            ["stopped-1"] = "STOPPED", ["stopping-1"] = "STOPPING", ["running-1"] = "RUNNING",
            ["create-failed-1"] = "CREATE_FAILED", ["recycled-1"] = "RECYCLE",
        }, client:describe_instances_status(ids))
    end)

    it("of ids that are all unknown is an empty table", function()
        assert.same({}, client:describe_instances_status(box:ids(150, "missing-")))
        assert.equal(2, #box:requests())
    end)

    it("sees what stop_instances did", function()
        local ids = box:ids(2)
        expect.success(client:stop_instances({ ids[1] }))
        assert.same({ [ids[1]] = "STOPPING", [ids[2]] = "RUNNING" },
            client:describe_instances_status(ids))
    end)

    it("passes new states through", function()
        box:faults { { fault = "answer", body = {
            requestId = "T1",
            response = {
                requestId = "T1", totalCount = 1,
                dataSet = { { instanceId = "i1", instanceStatus = "HIBERNATED" } },
            },
        } } }
        assert.same({ i1 = "HIBERNATED" }, client:describe_instances_status({ "i1" }))
    end)

    it("reads the old shape without a response", function()
        box:faults { { fault = "answer", body = {
            requestId = "T1", totalCount = 1,
            dataSet = { { instanceId = "i1", instanceStatus = "STOPPED" } },
        } } }
        assert.same({ i1 = "STOPPED" }, client:describe_instances_status({ "i1" }))
    end)

    it("is no answer of the API without its rows", function()
        for _, response in ipairs {
            '{"requestId":"T1"}', '{"requestId":"T1","totalCount":1}',
            '{"requestId":"T1","totalCount":"1","dataSet":[]}',
            '{"requestId":"T1","totalCount":1,"dataSet":"none"}',
            '{"requestId":"T1","totalCount":1,"dataSet":[1]}',
            '{"requestId":"T1","totalCount":1,"dataSet":{"a":{"instanceId":"a"}}}',
            '{"requestId":"T1","totalCount":1,"dataSet":[{"instanceId":"a"}]}',
            '{"requestId":"T1","totalCount":1,"dataSet":[{"instanceStatus":"RUNNING"}]}',
            '{"requestId":"T1","totalCount":1,"dataSet":[{"instanceId":1,"instanceStatus":"A"}]}',
        } do
            local once = closing(box:client { max_attempts = 1 })
            box:faults { { fault = "answer", body = '{"response":' .. response .. "}" } }
            expect.failure({ code = "BAD_RESPONSE", kind = "protocol", outcome = "unknown" },
                once:describe_instances_status({ "a" }))
        end
    end)

    it("of some ids is no answer of the API without all rows that it counts", function()
        box:faults { { fault = "answer", body = {
            requestId = "T1",
            response = {
                requestId = "T1", totalCount = 250,
                dataSet = { { instanceId = "i1", instanceStatus = "RUNNING" } },
            },
        } } }
        local err = expect.failure({
            code = "BAD_RESPONSE", kind = "protocol", outcome = "unknown", attempts = 2,
        }, client:describe_instances_status({ "i1", "i2" }, { max_attempts = 2 }))
        expect.partition({ "i1", "i2" }, err.batches)
        assert.equal(2, #box:requests())
    end)

    it("reads a list that is null as an empty one, if there is nothing to tell", function()
        for total, response in pairs {
            [0] = '{"requestId":"T1","response":{"totalCount":0,"dataSet":null}}',
            '{"requestId":"T1","response":{"totalCount":1,"dataSet":null}}',
        } do
            for _, ids in ipairs { { "i1" }, "all" } do
                box:faults { { fault = "answer", body = response } }
                local statuses, err = client:describe_instances_status(ids ~= "all" and ids or nil,
                    { max_attempts = 1 })
                if total == 0 then
                    assert.same({}, expect.success(statuses, err))
                else
                    expect.failure({ code = "BAD_RESPONSE", outcome = "unknown" }, statuses, err)
                end
            end
        end
    end)

    it("one batch that fails makes it an error that holds every id", function()
        local ids = box:ids(250)
        box:faults { { fault = "status", status = 403, code = "NO", requests = { 2 } } }
        local err = expect.failure({
            code = "NO", outcome = "rejected", action = "DescribeInstancesStatus",
        }, client:describe_instances_status(ids))
        expect.partition(ids, err.batches)
    end)

    it("of zec goes there; bmc has none", function()
        local id = box:ids(1)[1]
        assert.same({ [id] = "RUNNING" },
            client:describe_instances_status({ id }, { service = "zec" }))
        assert.equal("zec", box:requests()[1].service)
        box:mark()
        expect.failure({ kind = "argument", outcome = "not_sent", where = "options.service" },
            client:describe_instances_status({ id }, { service = "bmc" }))
        assert.same({}, box:requests())
    end)
end)

describe("describe_instances_status without ids", function()
    it("reads every page", function()
        local box = sandbox.start { "--instances", "2500", "--instance", "odd=IMAGING" }
        local client = closing(box:client())
        local statuses = expect.success(client:describe_instances_status())
        local requests = box:requests()
        box:stop()
        assert.equal(2501, size(statuses))
        assert.equal("IMAGING", statuses.odd)
        assert.equal("RUNNING", statuses["ins-0001"])
        assert.equal("RUNNING", statuses["ins-2500"])
        assert.equal(3, #requests)
        for i, request in ipairs(requests) do
            assert.equal(i, request.params.pageNum)
            assert.equal(1000, request.params.pageSize)
            assert.is_nil(request.params.instanceIds)
        end
    end)

    it("takes options", function()
        local box = sandbox.start { "--instances", "1000" }
        local client = closing(box:client())
        local statuses = expect.success(client:describe_instances_status(nil, { service = "zec" }))
        local requests = box:requests()
        box:stop()
        assert.equal(1000, size(statuses))
        assert.equal(1, #requests)
        assert.equal("zec", requests[1].service)
    end)

    it("of an empty fleet is an empty table", function()
        local box = sandbox.start { "--instances", "0" }
        local client = closing(box:client())
        local statuses = client:describe_instances_status()
        local requests = box:requests()
        box:stop()
        assert.same({}, statuses)
        assert.equal(1, #requests)
    end)

    it("retries a page, and fails without batches", function()
        local box = sandbox.start { "--instances", "1500" }
        local client = closing(box:client())
        box:faults { { fault = "reset_before", requests = { 2 } } }
        local statuses = client:describe_instances_status()
        local requests = box:requests()
        box:faults { { fault = "status", status = 403, code = "NO", requests = { 2 } } }
        local _, err = client:describe_instances_status()
        box:stop()
        assert.equal(1500, size(statuses))
        assert.equal(3, #requests)
        expect.failure({ code = "NO", outcome = "rejected", batches = expect.ABSENT }, nil, err)
    end)

    -- A sandbox that answers the n-th request with so many rows of `total`.
    local function pages(total, ...)
        local box, first = sandbox.start { "--instances", "0" }, 0
        local rules = {}
        for n, count in ipairs { ... } do
            local rows = {}
            for i = 1, count do
                rows[i] = ('{"instanceId":"i%d","instanceStatus":"RUNNING"}'):format(first + i)
            end
            first = first + count
            rules[n] = {
                fault = "answer", requests = { n },
                body = ('{"requestId":"T%d","response":{"totalCount":%d,"dataSet":[%s]}}'):format(
                    n, total, table.concat(rows, ",")),
            }
        end
        box:faults(rules)
        local client = closing(box:client { max_attempts = 3 })
        local statuses, err = client:describe_instances_status()
        local numbers = {}
        for i, request in ipairs(box:requests()) do
            numbers[i] = request.params.pageNum
        end
        box:stop()
        return numbers, statuses, err
    end

    it("goes on until it has all, though the server gives less than was asked for", function()
        local numbers, statuses, err = pages(3, 1, 1, 1)
        assert.same({ i1 = "RUNNING", i2 = "RUNNING", i3 = "RUNNING" },
            expect.success(statuses, err))
        assert.same({ 1, 2, 3 }, numbers)
    end)

    it("does not take an empty page for the end of the list", function()
        for _, case in ipairs {
            { { 1, 1, 1 }, 0, 0, 0 }, { { 1, 2, 2, 2 }, 2, 0, 0, 0 },
        } do
            local numbers, statuses, err = pages(3, table.unpack(case, 2))
            expect.failure({
                code = "BAD_RESPONSE", kind = "protocol", outcome = "unknown", attempts = 3,
                batches = expect.ABSENT,
            }, statuses, err)
            assert.same(case[1], numbers)
        end
    end)

    it("asks for an empty page again", function()
        local numbers, statuses, err = pages(3, 2, 0, 1)
        assert.same({ i1 = "RUNNING", i2 = "RUNNING", i3 = "RUNNING" },
            expect.success(statuses, err))
        assert.same({ 1, 2, 2 }, numbers)
    end)
end)
