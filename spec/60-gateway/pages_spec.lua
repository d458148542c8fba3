-- client:pages in nginx: the pages of zenlayer.safe, and an iterator that says when it is not
-- through.
local expect = require "expect"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"

-- What the loop sees: the ids, the sizes of the pages, the error.
local LOOP = [[
    local params, options = ...
    local ids, sizes, failure = {}, {}, nil
    local next_page, wrong = client:pages("DescribeInstances", params or nil, options or nil)
    if not next_page then
        return nil, wrong
    end
    for response, err in next_page do
        if not response then
            assert(response == false)
            failure = err
        else
            assert(type(err) == "string")
            sizes[#sizes + 1] = #response.dataSet
            for _, instance in ipairs(response.dataSet) do ids[#ids + 1] = instance.instanceId end
        end
    end
    assert(next_page() == nil and next_page() == nil)
    return ids, sizes, failure
]]

describe("client:pages of resty.zenlayer", function()
    local box, front, far, near

    setup(function()
        box = sandbox.start { "--instances", "230", "--instance", "sel-1=STOPPED,SEL-A" }
        front = remote.start(box, {
            locations = {
                ["= /log"] = {
                    content = "ngx.print 'x'",
                    log = [[
                        local client = require("chunks").client "first"
                        local response, err = client:pages("DescribeInstances")()
                        ngx.log(ngx.WARN, "page: ", tostring(response), " ", err.code)
                    ]],
                },
            },
        })
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

    -- Both are asked to do the same. What they came to, and the requests of the gateway.
    local function alike(client, here, text, ...)
        box:mark()
        local theirs = remote.normal(client:run(text, ...))
        local requests = box:requests()
        assert.same(remote.normal(remote.run_here(here, text, ...)), theirs)
        return theirs, requests
    end

    it("goes through all instances", function()
        local results, requests = alike(far, near, LOOP)
        assert.equal(231, #results[1])
        assert.same({ 100, 100, 31 }, results[2])
        for number, request in ipairs(requests) do
            assert.same({ pageNum = number, pageSize = 100 }, request.params)
        end
        assert.equal(3, #requests)
        results = alike(far, near, LOOP, { pageSize = 7, pageNum = 30, zoneId = "HKG-A" },
            { service = "zec" })
        assert.same({ 7, 7, 7, 6 }, results[2])
        results = alike(far, near, LOOP, { zoneId = "NO-A" })
        assert.same({ 0 }, results[2])
    end)

    it("gives all instances once each, for any number and page size", function()
        math.randomseed(os.time())
        for _ = 1, 10 do
            local given, size = box:ids(math.random(1, 100)), math.random(10, 110)
            local ids, sizes = far:run(LOOP, { instanceIds = given, pageSize = size })
            assert.same(given, ids, size)
            assert.equal(math.ceil(#given / size), #sizes)
        end
    end)

    for name, case in pairs {
        ["is refused"] = {
            { fault = "status", status = 403, code = "NO", message = "no" },
            { code = "NO", outcome = "rejected" },
        },
        ["is none"] = {
            { fault = "answer", body = { requestId = "T1", response = { a = 1 } } },
            { code = "BAD_RESPONSE", outcome = "unknown", kind = "protocol" },
        },
        ["does not come"] = { { fault = "reset_before" }, { code = "CONNECTION_LOST" } },
    } do
        it("gives false and an error for a page that " .. name .. ", and ends", function()
            local rule = { requests = { 2, 3, 5, 6 } } -- when tried twice: those of both
            for field, value in pairs(case[1]) do
                rule[field] = value
            end
            if name == "is refused" then
                rule.requests = { 2, 4 }
            end
            box:faults { rule }
            local options = { max_attempts = 2 }
            local results = alike(far, near, LOOP, false, options)
            assert.same({ 100 }, results[2])
            remote.failure(case[2], nil, results[3])
        end)
    end

    it("says at once what is wrong with its arguments, as zenlayer.safe", function()
        for _, text in ipairs {
            "client:pages()", "client:pages('StopInstances')", "client:pages('A B')",
            "client:pages('DescribeInstances', 1)", "client:pages('DescribeInstances', { 1 })",
            "client:pages('DescribeInstances', { pageNum = 0 })",
            "client:pages('DescribeInstances', { pageSize = '1' })",
            "client:pages('DescribeInstances', {}, { wait = true })",
            "client.pages('DescribeInstances')",
        } do
            local results, requests = alike(far, near, "return " .. text)
            assert.is_nil(results[1])
            assert.equal("argument", results[2].kind, text)
            assert.equal(0, #requests)
        end
    end)

    it("does not look like the end when its client is closed, or its phase is wrong", function()
        local result, err, after = front:client {}:run [[
            local next_page = client:pages "DescribeInstances"
            assert(next_page())
            client:close()
            local result, err = next_page()
            return result, err, next_page() == nil
        ]]
        assert.is_false(result)
        assert.is_true(after)
        remote.failure({ code = "CLIENT_CLOSED" }, nil, err)
        front.gateway:mark()
        front.gateway:get "/log"
        process.await(function()
            return front.gateway:log():find("page: false WRONG_PHASE", 1, true)
        end, "the line in the log")
    end)

    it("refuses a second page while one is under way", function()
        box:faults { { fault = "delay", seconds = 0.3, requests = { 1 } } }
        local first, second, err, third, fourth = expect.success(far:run [[
            local next_page = client:pages("DescribeInstances", { pageSize = 120 })
            local thread = ngx.thread.spawn(next_page)
            local second, err = next_page()
            local _, first = ngx.thread.wait(thread)
            return #first.dataSet, second, err, #next_page().dataSet, next_page() == nil
        ]])
        assert.same({ 120, false, 111, true }, { first, second, third, fourth })
        remote.failure({ code = "INVALID_ARGUMENT" }, nil, err)
        assert.equal(2, #box:requests())
    end)

    it("lets other requests through while it waits for a page", function()
        box:faults { {
            fault = "delay", seconds = 2 * process.slowness, action = "DescribeInstances",
            requests = { 1 },
        } }
        local under_way = far:begin(LOOP)
        box:await_requests(1)
        for n = 1, 10 do
            assert.equal(n, (expect.success(far:call("Echo", { n = n }))).params.n)
        end
        assert.equal(1 + 10, #box:requests())
        local ids = under_way:result()
        assert.equal(231, #ids)
    end)
end)
