-- client:pages against a sandbox: every instance once, one call a page, and no silent end.
local closing = require "every_lua".closing
local errors = require "binding_errors"
local expect = require "expect"
local process = require "process"
local property = require "binding_property"
local safe = require "zenlayer.safe"
local sandbox = require "sandbox"

local COUNT = 230

describe("client:pages", function()
    local box

    setup(function()
        local options = { "--instances", tostring(COUNT), "--stop-seconds", "600" }
        for i = 1, 7 do
            table.move({ "--instance", ("sel-%d=STOPPED,SEL-A"):format(i) }, 1, 2, #options + 1,
                options)
        end
        box = sandbox.start(options)
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    -- Every row of every page, and the request ids.
    local function read(iterator)
        local found, request_ids = {}, {}
        for response, request_id in iterator do
            assert.is_table(response, tostring(request_id))
            table.move(response.dataSet, 1, #response.dataSet, #found + 1, found)
            request_ids[#request_ids + 1] = request_id
        end
        return found, request_ids
    end

    local function ids_of(found)
        local ids, seen = {}, {}
        for i, instance in ipairs(found) do
            ids[i] = instance.instanceId
            assert.is_nil(seen[ids[i]], ids[i])
            seen[ids[i]] = true
        end
        return ids
    end

    for name, make in pairs {
        zenlayer = function(...) return box:raising_client(...) end,
        ["zenlayer.safe"] = function(...) return box:client(...) end,
    } do
        it("goes through all instances, of " .. name, function()
            local client = closing(make())
            local found, request_ids = read(client:pages "DescribeInstances")
            assert.equal(COUNT + 7, #ids_of(found))
            assert.same({
                instanceId = "ins-0001", instanceName = "name-of-ins-0001", zoneId = "HKG-A",
                instanceStatus = "RUNNING",
            }, found[1])
            local requests = box:requests()
            assert.equal(3, #requests)
            for number, request in ipairs(requests) do
                assert.equal("DescribeInstances", request.action)
                assert.same({ pageNum = number, pageSize = 100 }, request.params)
                assert.equal(request_ids[number], request.request_id)
            end
        end)
    end

    it("passes params and options on", function()
        local client = closing(box:raising_client())
        local found = read(client:pages("DescribeInstances", { zoneId = "SEL-A", pageSize = 3 },
            { service = "zec", api_version = "2025-09-01" }))
        assert.equal(7, #ids_of(found))
        assert.equal("STOPPED", found[1].status)
        local requests = box:requests()
        assert.equal(3, #requests)
        for number, request in ipairs(requests) do
            assert.same({ pageNum = number, pageSize = 3, zoneId = "SEL-A" }, request.params)
            assert.equal("zec", request.service)
        end
        found = read(client:pages("DescribeInstancesStatus", { pageNum = 3 }))
        assert.equal(COUNT + 7 - 200, #ids_of(found))
        found = read(client:pages("DescribeInstances", { zoneId = "NO-A" }))
        assert.equal(0, #found)
    end)

    it("sends a request when a page is asked for, and none besides", function()
        local client = closing(box:raising_client())
        local next_page = client:pages "DescribeInstances"
        assert.equal(0, #box:requests())
        assert.equal(100, #next_page().dataSet)
        assert.equal(1, #box:requests())
        for _ in client:pages "DescribeInstances" do -- luacheck: ignore 512
            break
        end
        assert.equal(2, #box:requests())
        assert.equal(100, #next_page().dataSet)
        assert.equal(37, #next_page().dataSet)
        for _ = 1, 3 do
            assert.same({ n = 1 }, table.pack(next_page()))
        end
        assert.equal(4, #box:requests())
        -- It may do other things with the client meanwhile.
        for response in client:pages("DescribeInstances", { pageSize = 200 }) do
            client:stop_instances { response.dataSet[1].instanceId }
        end
        assert.equal(4 + 4, #box:requests())
    end)

    it("is collected with its state, at any time", function()
        local client = closing(box:raising_client())
        for _ = 1, 20 do
            client:pages "DescribeInstances"
        end
        local next_page = client:pages("DescribeInstances", { pageSize = 200 })
        client = nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
        assert.equal(200, #next_page().dataSet)
        collectgarbage()
        assert.equal(37, #next_page().dataSet)
        assert.is_nil(next_page())
    end)

    it("tries a page again as any call", function()
        box:faults {
            { fault = "reset_before", requests = { 2 } },
            { fault = "answer", requests = { 4 }, body = { requestId = "T1", response = {} } },
        }
        local client = closing(box:raising_client { max_attempts = 3 })
        assert.equal(COUNT + 7, #ids_of(read(client:pages "DescribeInstances")))
        assert.equal(5, #box:requests())
    end)

    -- What came: how many pages, and the error.
    local function read_until_error(module, params, options)
        local client = module == safe and box:client(options) or box:raising_client(options)
        closing(client)
        local pages, failure = 0, nil
        local next_page = client:pages("DescribeInstances", params)
        while true do
            local results = table.pack(pcall(next_page))
            if not results[1] then
                failure = results[2]
                break
            elseif results[2] == false then
                assert.equal(3, results.n)
                failure = results[3]
                break
            elseif results[2] == nil then
                break
            end
            pages = pages + 1
        end
        assert.is_nil(next_page()) -- it stays ended
        return pages, failure
    end

    local BAD = {
        { "is refused", { fault = "status", status = 403, code = "NO", message = "no" }, {
            kind = "api", code = "NO", outcome = "rejected", attempts = 1,
        } },
        { "does not come", { fault = "reset_before" }, {
            kind = "network", code = "CONNECTION_LOST", outcome = "unknown", attempts = 2,
        } },
        { "is none", { fault = "answer", body = { requestId = "T1", response = { a = 1 } } }, {
            kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", attempts = 2,
        } },
        {
            "is empty",
            {
                fault = "answer",
                body = '{"requestId":"T1","response":{"totalCount":237,"dataSet":[]}}',
            },
            { kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", attempts = 2 },
        },
    }
    for _, case in ipairs(BAD) do
        it("ends with an error when a page " .. case[1], function()
            local pages, caught = {}, {}
            for i, module in ipairs { require "zenlayer", safe } do
                local rule = { requests = { 2, 3, 4 } }
                for name, value in pairs(case[2]) do
                    rule[name] = value
                end
                box:faults { rule }
                pages[i], caught[i] = read_until_error(module, nil, { max_attempts = 2 })
                assert.equal(1 + case[3].attempts, #box:requests())
            end
            assert.same({ 1, 1 }, pages)
            for _, err in ipairs(caught) do
                expect.failure(case[3], nil, err)
                assert.equal("DescribeInstances", err.action)
                assert.is_nil(err.batches)
            end
        end)
    end

    it("in a client that was closed is CLIENT_CLOSED, as any call", function()
        local client = box:client()
        local next_page = client:pages "DescribeInstances"
        assert.is_table(next_page())
        client:close()
        local result, err = next_page()
        assert.is_false(result)
        expect.failure({ code = "CLIENT_CLOSED", outcome = "not_sent" }, nil, err)
        assert.is_nil(next_page())
        errors.refused({ code = "CLIENT_CLOSED" }, function(module)
            local closed = module.new(errors.options())
            closed:close()
            return closed:pages "DescribeInstances"
        end)
    end)

    it("has a deadline for each page", function()
        box:faults { { fault = "delay", seconds = 0.4 } }
        local client = closing(box:client { deadline = 1 * process.slowness })
        local pages = 0
        for response, err in client:pages("DescribeInstances", { pageSize = 50 }) do
            assert.is_table(response, tostring(err))
            pages = pages + 1
        end
        assert.equal(5, pages) -- of 2 seconds together
        box:faults { { fault = "stall", seconds = 60, requests = { 2 } } }
        local next_page = client:pages("DescribeInstances", nil, { deadline = 0.5 })
        assert.is_table(next_page())
        local result, err = next_page()
        assert.is_false(result)
        expect.failure({ code = "DEADLINE_EXCEEDED", kind = "timeout" }, nil, err)
    end)

    it("gives all instances once each, for any number and page size", function()
        local client = closing(box:raising_client())
        property.check(25, function()
            local given = box:ids(math.random(1, 100))
            local size = property.pick { 1, 7, 99, 100, 101, 1000, math.random(1, 100) }
            size = math.max(size, math.ceil(#given / 20)) -- no more than 20 pages
            box:mark()
            local found = ids_of(read(client:pages("DescribeInstances", {
                instanceIds = given, pageSize = size,
            })))
            assert.same(given, found)
            assert.equal(math.ceil(#given / size), #box:requests())
        end)
    end)
end)

describe("client:pages of a whole fleet", function()
    for _, count in ipairs { 0, 1, 100, 101, 1500 } do
        it(("of %d"):format(count), function()
            local box = sandbox.start { "--instances", tostring(count) }
            closing { close = function() box:stop() end }
            local client = closing(box:raising_client())
            local seen, n, pages = {}, 0, 0
            for response in client:pages("DescribeInstances", { pageSize = 100 }) do
                pages = pages + 1
                assert.equal(count, response.totalCount)
                for _, instance in ipairs(response.dataSet) do
                    assert.is_nil(seen[instance.instanceId])
                    seen[instance.instanceId] = true
                    n = n + 1
                end
            end
            assert.equal(count, n)
            assert.equal(math.max(1, math.ceil(count / 100)), pages)
        end)
    end
end)
