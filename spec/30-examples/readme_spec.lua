-- The README keeps its word: its tables name what there is. (Its blocks of code are run by
-- snippets_spec.lua and commands_spec.lua.)
local every_lua = require "every_lua"
local process = require "process"
local safe = require "zenlayer.safe"
local sources = require "sources"
local zenlayer = require "zenlayer"

local README = process.read "README.md"

-- The text between a heading and the next one.
local function section(heading)
    local from = assert(README:find("\n" .. heading .. "\n", 1, true), heading)
    local rest = README:sub(from + 1 + #heading)
    return rest:match "^(.-\n)#+ " or rest
end

-- The rows of the first table in a text, each a list of its cells, without the head.
local function rows(text)
    local found = {}
    for line in text:match "\n(|[^\n]*\n.*)":gmatch "([^\n]*)\n" do
        if line:sub(1, 1) ~= "|" then
            break
        end
        local cells = {}
        for cell in line:sub(2):gmatch "%s*(.-)%s*|" do
            cells[#cells + 1] = cell
        end
        found[#found + 1] = cells
    end
    assert(found[2][1]:find "^%-+$")
    return { table.unpack(found, 3) }
end

local function quoted(text)
    local words = {}
    for word in text:gmatch "`([^`]+)`" do
        words[#words + 1] = word
    end
    return words
end

local function sorted(list)
    table.sort(list)
    return list
end

-- Whether the module knows an option: what is wrong is another thing then, its value (no option
-- takes a file) or that others are missing.
local function is_known(name, use)
    local result, err = use { [name] = io.stdout }
    assert(result == nil and zenlayer.is_error(err), tostring(err))
    local known = err.code ~= "UNKNOWN_OPTION"
    assert(known or err.message:find("'" .. name .. "'", 1, true), tostring(err))
    return known
end

describe("the README's", function()
    it("options of new are those that there are", function()
        local told = {}
        for _, row in ipairs(rows(section "### Options of `new`")) do
            for _, name in ipairs(quoted(row[1])) do
                told[#told + 1] = name
                assert.is_true(is_known(name, safe.new), name)
            end
        end
        assert.same(sources.strings("zlb_client_options"), sorted(told))
        assert.is_false(is_known("verify", safe.new))
    end)

    it("options of methods are those that there are", function()
        local client = every_lua.closing(assert(safe.new {
            access_key_id = "a", access_key_password = "b", endpoint = "https://127.0.0.1:1",
        }))
        local methods = {
            stop_instances = {
                list = "stop_options", use = function(options)
                    return client:stop_instances({ "a" }, options)
                end,
            },
            describe_instances_status = {
                list = "status_options", use = function(options)
                    return client:describe_instances_status({ "a" }, options)
                end,
            },
            wait_until_stopped = {
                list = "wait_options", use = function(options)
                    return client:wait_until_stopped({}, options) -- no id: it must not begin
                end,
            },
            call = {
                list = "call_options", use = function(options)
                    return client:call("Echo", {}, options)
                end,
            },
            pages = {
                list = "call_options", use = function(options)
                    return client:pages("DescribeThings", {}, options)
                end,
            },
        }
        local table_rows = rows(section "### Options of a method")
        for method, about in pairs(methods) do
            local told = {}
            for _, row in ipairs(table_rows) do
                local of = row[3] == "all" and { method } or quoted(row[3])
                for _, name in ipairs(quoted(row[1])) do
                    local is_told = false
                    for _, each in ipairs(of) do
                        assert.is_truthy(methods[each], each)
                        is_told = is_told or each == method
                    end
                    told[#told + 1] = is_told and name or nil
                    assert.equal(is_told, is_known(name, about.use), method .. ": " .. name)
                end
            end
            assert.same(sources.strings(about.list), sorted(told))
        end
    end)

    it("options of sign are those that there are", function()
        local sentence = assert(README:match "(`zenlayer%.sign` takes .-%.)\n")
        local told = { table.unpack(quoted(sentence), 2) }
        for _, name in ipairs(told) do
            assert.is_true(is_known(name, safe.sign), name)
        end
        assert.same(sources.strings("sign_options"), sorted(told))
    end)

    it("functions and methods are those that there are", function()
        local text = section "## The module"
        local functions, methods = {}, {}
        for _, row in ipairs(rows(text)) do
            functions[#functions + 1] = quoted(row[1])[1]:match "^zenlayer%.([%w_]+)"
        end
        local named = {}
        for name in README:gmatch "client:([%l_]+)%(" do
            methods[#methods + 1] = not named[name] and name or nil
            named[name] = true
        end
        for _, module in ipairs { zenlayer, safe } do
            local has = {}
            for name in pairs(module) do
                has[#has + 1] = name
            end
            assert.same(sorted(has), sorted(functions))
            local client = every_lua.closing(module.new {
                access_key_id = "a", access_key_password = "b", endpoint = "https://127.0.0.1:1",
            })
            has = {}
            for name in pairs(getmetatable(client).__index) do
                has[#has + 1] = name
            end
            assert.same(sorted(has), sorted(methods))
        end
    end)

    it("codes are the module's, of their kinds", function()
        local told, wanted, kinds = {}, {}, {}
        for _, row in ipairs(rows(section "### Codes of this module")) do
            for _, code in ipairs(quoted(row[1])) do
                assert.is_nil(told[code], code)
                told[code] = row[2]
            end
        end
        for _, kind in ipairs(sources.errors "ZL_KINDS") do
            kinds[kind[1]] = kind[2]
        end
        for _, code in ipairs(sources.errors "ZL_CODES") do
            wanted[code[1]] = kinds[code[2]]
        end
        assert.same(wanted, told)
    end)

    it("kinds and outcomes are the module's", function()
        local fields = {}
        for _, row in ipairs(rows(section "## Errors")) do
            for _, name in ipairs(quoted(row[1])) do
                fields[name] = row[2]
            end
        end
        local kinds, outcomes = {}, { "accepted" } -- a batch's alone, told of there
        for i, kind in ipairs(sources.errors "ZL_KINDS") do
            kinds[i] = kind[2]
        end
        assert.same(sorted(kinds), sorted(quoted(fields.kind)))
        for _, outcome in ipairs(quoted(fields.outcome)) do
            outcomes[#outcomes + 1] = outcome
        end
        local wanted = {}
        for i, outcome in ipairs(sources.errors "ZL_OUTCOMES") do
            wanted[i] = outcome[2]
        end
        assert.same(sorted(wanted), sorted(outcomes))
        assert.is_truthy(fields.batches:find("`accepted`", 1, true))
    end)

    it("events are those that there are", function()
        local told, wanted = {}, {}
        for _, row in ipairs(rows(section "## Watching")) do
            told[#told + 1] = quoted(row[1])[1]
        end
        for i, event in ipairs(sources.events()) do
            wanted[i] = event[2]
        end
        assert.same(wanted, told)
    end)
end)
