-- client:pages without a network: what it refuses, and by zenlayer.core, whose answers are made up
-- here, when it goes on and when it ends.
local cjson = require "cjson"
local core = require "zenlayer.core"
local errors = require "binding_errors"
local expect = require "expect"
local property = require "binding_property"
local zenlayer = require "zenlayer"

local KEY = { access_key_id = "KEY", access_key_password = "secret", max_attempts = 2 }

local function refused(expected, ...)
    local arguments = table.pack(...)
    local err = errors.refused(expected, function(module)
        local client = module.new(errors.options())
        return client:pages(table.unpack(arguments, 1, arguments.n))
    end)
    return err
end

describe("client:pages refuses at once", function()
    it("an action that is none, or does not begin with Describe", function()
        for _, action in ipairs { 1, true, {}, "", "A B", "Describe\n", "describeInstances",
            "StopInstances", "XDescribeInstances", "describe" } do
            refused({ where = "action" }, action)
        end
        refused({ where = "action", text = "got nil" })
        refused({ where = "action", text = "begins with Describe" }, "GetInstances")
    end)

    it("params that call refuses", function()
        for _, params in ipairs { 1, "{}", true, print, { 1 }, { x = print }, { x = 0 / 0 },
            { x = "\255" }, zenlayer.null, zenlayer.empty_array } do
            local err = refused({}, "DescribeInstances", params)
            assert.is_truthy(err.where:find "^params", tostring(err))
        end
    end)

    for _, name in ipairs { "pageNum", "pageSize" } do
        it("a " .. name .. " that is no integer from 1", function()
            local where = "params." .. name
            for _, value in ipairs { 0, -1, 1.5, 2 ^ 31, 2 ^ 60, 0.5 } do
                refused({ where = where, text = "an integer from 1 to 2147483647" },
                    "DescribeInstances", { [name] = value })
            end
            for _, value in ipairs { "1", false, {}, zenlayer.null } do
                refused({ where = where, text = "from 1, got " .. type(value) },
                    "DescribeInstances", { [name] = value })
            end
        end)
    end
end)

-- The rows of a page, as JSON.
local function rows(count)
    local list = {}
    for i = 1, count do
        list[i] = '{"instanceId":"i-' .. i .. '"}'
    end
    return "[" .. table.concat(list, ",") .. "]"
end

local function page(total, count)
    return ('{"requestId":"T1","response":{"totalCount":%d,"dataSet":%s}}'):format(total,
        type(count) == "number" and rows(count) or count)
end

-- An iterator made as a driver makes it; answer(pageNum, pageSize, params) gives each body. It
-- raises its errors.
local function iterate(answer, action, params, options)
    local pages = core.new(KEY):prepare_pages(action, params, options)
    return function()
        local op = pages:prepare()
        if not op then
            return nil
        end
        while true do
            local what, n, request = op:step()
            if what == "done" then
                break
            elseif what == "send" then
                local given = cjson.decode(request.body)
                op:reply(n, 200, nil, answer(given.pageNum, given.pageSize, given))
            end
        end
        local ok, response, request_id = pcall(op.result, op)
        pages:take(ok and response)
        if not ok then
            error(response, 0)
        end
        return response, request_id
    end
end

-- The number of rows of each page that came.
local function counts(answer, params)
    local found = {}
    for response, request_id in iterate(answer, "DescribeThings", params) do
        assert.equal("T1", request_id)
        found[#found + 1] = #response.dataSet
    end
    return found
end

local function fails(expected, answer, params)
    local ok, err = pcall(counts, answer, params)
    expect.failure({
        kind = "protocol", code = "BAD_RESPONSE", outcome = "unknown", attempts = 2,
        http_status = 200, action = "DescribeThings", request_id = "T1", retryable = true,
        batches = expect.ABSENT,
    }, ok or nil, err)
    assert.is_truthy(err.message:find(expected, 1, true), err.message)
end

describe("pages", function()
    it("are asked for one by one, by number and size", function()
        local asked = {}
        local next_page = iterate(function(_, _, given)
            asked[#asked + 1] = given
            return page(250, #asked < 3 and 100 or 50)
        end, "DescribeThings", { zoneId = "A" })
        assert.equal(0, #asked)
        for number = 1, 3 do
            assert.is_table(next_page())
            assert.same({ pageNum = number, pageSize = 100, zoneId = "A" }, asked[number])
            assert.equal(number, #asked)
        end
        for _ = 1, 3 do
            assert.is_nil(next_page())
        end
        assert.equal(3, #asked)
    end)

    it("may have nothing on them, if there is nothing", function()
        for _, body in ipairs {
            page(0, 0), page(0, "{}"), page(0, "null"),
            '{"requestId":"T1","totalCount":0,"dataSet":[]}', '{"requestId":"T1","totalCount":0}',
        } do
            assert.same({ 0 }, counts(function() return body end))
        end
    end)

    it("may be an old answer's, which has no response", function()
        assert.same({ 2, 1 }, counts(function(number)
            return ('{"requestId":"T1","totalCount":3,"dataSet":%s}'):format(rows(3 - number))
        end, { pageSize = 2 }))
    end)

    it("are counted by the newest totalCount", function()
        local totals = { 250, 300, 260 }
        assert.same({ 100, 100, 60 }, counts(function(number)
            return page(totals[number], number < 3 and 100 or 60)
        end))
        assert.same({ 100, 0 }, counts(function(number) -- as many went as there were more
            return page(number == 1 and 150 or 90, number == 1 and 100 or 0)
        end))
    end)

    it("go on until all is there, though the server gives less than was asked for", function()
        assert.same({ 40, 40, 20 }, counts(function(number)
            return page(100, number < 3 and 40 or 20)
        end))
    end)

    it("that are none are an error", function()
        for _, body in ipairs {
            '{"requestId":"T1"}', '{"requestId":"T1","response":{}}',
            '{"requestId":"T1","response":{"totalCount":1}}',
            '{"requestId":"T1","response":{"dataSet":[{"a":1}]}}', page(1, "null"),
            page(1, '"x"'), page(0, "7"), page(1, '{"a":1}'), page(1, "true"),
            '{"requestId":"T1","response":{"totalCount":"1","dataSet":[{"a":1}]}}',
            '{"requestId":"T1","response":{"totalCount":null,"dataSet":[{"a":1}]}}',
            '{"requestId":"T1","response":{"totalCount":-1,"dataSet":[{"a":1}]}}',
        } do
            fails("no page of a list", function() return body end)
        end
    end)

    it("that are empty before the end are an error, and asked for again first", function()
        fails("an empty page before the end", function() return page(1, 0) end)
        fails("an empty page before the end", function(number)
            return page(150, number == 1 and 100 or 0)
        end)
        local times = 0
        assert.same({ 100, 50 }, counts(function(number)
            times = times + 1
            return page(150, number == 1 and 100 or times == 2 and 0 or 50)
        end))
        assert.equal(3, times)
    end)

    it("end at an error", function()
        local next_page = iterate(function(number)
            return number == 1 and page(300, 100) or '{"requestId":"T2"}'
        end, "DescribeThings")
        assert.is_table(next_page())
        assert.is_false(pcall(next_page))
        for _ = 1, 2 do
            assert.is_nil(next_page())
        end
    end)

    it("begin at pageNum", function()
        local function server(total)
            return function(number, size)
                return page(total, math.max(0, math.min(size, total - (number - 1) * size)))
            end
        end
        assert.same({ 10, 5 }, counts(server(35), { pageNum = 3, pageSize = 10 }))
        assert.same({ 5 }, counts(server(35), { pageNum = 4, pageSize = 10 }))
        for _, number in ipairs { 5, 6, 1000, 2147483647 } do
            assert.same({ 0 }, counts(server(35), { pageNum = number, pageSize = 10 }))
        end
        assert.same({ 0 }, counts(server(30), { pageNum = 4, pageSize = 10 }))
    end)

    it("that begin late have the size that says what lies before them", function()
        -- A server that gives no more than 10: page 2 begins there at row 11, and not at row 101.
        local function capped(total)
            return function(number)
                return page(total, math.max(0, math.min(10, total - (number - 1) * 10)))
            end
        end
        for _, total in ipairs { 15, 105, 115, 1000 } do
            fails("not as many rows as", capped(total), { pageNum = 2 })
        end
        assert.same({ 5 }, counts(capped(15), { pageNum = 2, pageSize = 10 }))
    end)

    it("are asked for with the params that were given, whatever becomes of those", function()
        local params, asked = { pageSize = 1, zoneId = "A", tags = { "x" } }, {}
        local given = iterate(function(_, _, sent)
            asked[#asked + 1] = sent
            return page(2, 1)
        end, "DescribeThings", params)
        params.pageSize, params.zoneId, params.more, params.pageNum = 7, "B", true, 9
        assert.is_table(given())
        assert.is_table(given())
        assert.is_nil(given())
        for number = 1, 2 do
            assert.same({ pageNum = number, pageSize = 1, zoneId = "A", tags = { "x" } },
                asked[number])
        end
        assert.same({ pageSize = 7, zoneId = "B", more = true, pageNum = 9, tags = { "x" } },
            params)
    end)

    it("are all there are, once each: for any number of rows, size and limit", function()
        property.check(300, function()
            local total, limit = math.random(0, 60), math.random(1, 40)
            local size = math.random(1, 40)
            local last = 0
            local found = {}
            local function server(number, asked)
                assert(asked == size)
                assert(number == last + 1)
                last = number
                local each = math.min(asked, limit)
                local list = {}
                for i = (number - 1) * each + 1, math.min(total, number * each) do
                    list[#list + 1] = ('"%d"'):format(i)
                end
                return page(total, "[" .. table.concat(list, ",") .. "]")
            end
            for response in iterate(server, "DescribeThings", { pageSize = size }) do
                for _, row in ipairs(response.dataSet) do
                    found[#found + 1] = row
                end
            end
            assert(#found == total, #found .. " of " .. total)
            for i, row in ipairs(found) do
                assert(row == tostring(i), i .. " is " .. row)
            end
        end)
    end)
end)

describe("the pages of zenlayer.core", function()
    it("are one at a time", function()
        local pages = core.new(KEY):prepare_pages "DescribeThings"
        local op = pages:prepare()
        local ok, err = pcall(pages.prepare, pages)
        expect.failure({ code = "INVALID_ARGUMENT", kind = "argument" }, ok or nil, err)
        local _, n = op:step()
        assert.is_true(op:reply(n, 200, nil, page(2, 1)))
        pages:take(op:result())
        assert.is_userdata(pages:prepare())
    end)

    it("end when a page failed, and when none can be made", function()
        local pages = core.new(KEY):prepare_pages "DescribeThings"
        pages:prepare()
        pages:take(nil)
        assert.is_nil(pages:prepare())
        local client = core.new(KEY)
        pages = client:prepare_pages "DescribeThings"
        client:close()
        local ok, err = pcall(pages.prepare, pages)
        expect.failure({ code = "CLIENT_CLOSED" }, ok or nil, err)
        assert.is_nil(pages:prepare())
    end)

    it("have a name, and methods that are called with ':'", function()
        local pages = core.new(KEY):prepare_pages "DescribeThings"
        assert.is_truthy(tostring(pages):find "^zenlayer.pages: ")
        for _, name in ipairs { "prepare", "take" } do
            for _, value in ipairs { {}, 1, io.stdout } do
                local ok, err = pcall(pages[name], value)
                expect.failure({ code = "INVALID_ARGUMENT", where = "self" }, ok or nil, err)
            end
        end
    end)
end)
