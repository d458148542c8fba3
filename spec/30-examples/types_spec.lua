-- The annotations for editors name what there is: functions, options, fields and codes, no more and
-- no fewer.
local closing = require "every_lua".closing
local process = require "process"
local sources = require "sources"
local zenlayer = require "zenlayer"

local TYPES = process.read "types/zenlayer.lua"
local README = process.read "README.md"

local function sorted(list)
    table.sort(list)
    return list
end

local function keys(value)
    local list = {}
    for name in pairs(value) do
        list[#list + 1] = name
    end
    return sorted(list)
end

-- The fields that a class declares, in zenlayer.lua or another text.
local function fields(class, types)
    local text = "\n" .. (types or TYPES)
    local from = assert(text:find("\n%-%-%-@class " .. class:gsub("%.", "%%.") .. "\n"), class)
    local list = {}
    for line in text:sub(from + 1):gmatch "([^\n]*)\n" do
        local name = line:match "^%-%-%-@field ([%w_]+)"
        list[#list + 1] = name
        if #list > 0 and not name then
            break
        end
    end
    return sorted(list)
end

local function functions(of, mark, types)
    local list = {}
    for name in (types or TYPES):gmatch("\nfunction " .. of .. mark .. "([%w_]+)%(") do
        list[#list + 1] = name
    end
    return sorted(list)
end

describe("the annotations", function()
    local client, op

    setup(function()
        client = zenlayer.new {
            access_key_id = "a", access_key_password = "b", endpoint = "https://127.0.0.1:1",
        }
        op = client:prepare_stop_instances { "a" }
    end)
    teardown(function()
        client:close()
    end)

    it("are Lua", function()
        assert(load(TYPES, "types"))
    end)

    it("have the module's functions and values", function()
        local found = functions("zenlayer", "%.")
        for _, name in ipairs(fields "zenlayer") do
            found[#found + 1] = name
        end
        assert.same(keys(zenlayer), sorted(found))
    end)

    it("have the methods of a client, a job, an operation", function()
        assert.same(keys(getmetatable(client).__index), functions("client", ":"))
        assert.same(keys(debug.getmetatable(op).__index), functions("operation", ":"))
        local other = closing(zenlayer.new {
            access_key_id = "a", access_key_password = "b", endpoint = "https://127.0.0.1:1",
        })
        local job = other:submit_call "DescribeThings"
        assert.same(keys(debug.getmetatable(job).__index), functions("job", ":"))
    end)

    -- The functions and values of a module that is described in a text of its own.
    local function surface(class, of, types)
        local list = functions(of, "%.", types)
        for _, name in ipairs(fields(class, types)) do
            list[#list + 1] = name
        end
        return sorted(list)
    end

    local function annotations(of)
        local text = process.read("types/" .. of:gsub("%.", "/") .. ".lua")
        assert(load(text, of))
        assert.equal(of, text:match "^%-%-%-@meta ([%w_.]+)\n")
        return text
    end

    it("have zenlayer.safe, which has the same", function()
        assert.same(keys(zenlayer), keys(require "zenlayer.safe"))
        local types = annotations "zenlayer.safe"
        assert.is_truthy(types:find("\n---@type zenlayer\nlocal safe = {}\n", 1, true))
    end)

    it("have zenlayer.core", function()
        local types = annotations "zenlayer.core"
        local core = require "zenlayer.core"
        local bare = closing(core.new { access_key_id = "a", access_key_password = "b" })
        assert.same(keys(core), surface("zenlayer.core", "core", types))
        assert.same(keys(getmetatable(bare).__index), functions("client", ":", types))
        local pages = bare:prepare_pages "DescribeThings"
        assert.same(keys(getmetatable(pages).__index), functions("pages", ":", types))
        local settings = fields("zenlayer.core.Settings", types)
        for _, name in ipairs(keys(bare:settings())) do
            assert.is_truthy(table.concat(settings, " "):find(name, 1, true), name)
        end
    end)

    it("have resty.zenlayer, as the README tells of it", function()
        local types = annotations "resty.zenlayer"
        local module, methods = README:match "It has (.-); a client has (.-), and is for all"
        local function names(text)
            local list = {}
            for name in text:gmatch "`([%w_]+)`" do
                list[#list + 1] = name
            end
            return sorted(list)
        end
        assert.same(names(module), surface("resty.zenlayer", "zenlayer", types))
        assert.same(names(methods), functions("client", ":", types))
    end)

    it("have the options", function()
        for class, list in pairs {
            ["zenlayer.Options"] = "zlb_client_options",
            ["zenlayer.StopOptions"] = "stop_options",
            ["zenlayer.StatusOptions"] = "status_options",
            ["zenlayer.WaitOptions"] = "wait_options",
            ["zenlayer.CallOptions"] = "call_options",
            ["zenlayer.SignOptions"] = "sign_options",
        } do
            assert.same(sources.strings(list), fields(class), class)
        end
    end)

    -- The words in quotes of the first cells of the table after a line of the README.
    local function told(line)
        local from = assert(README:find(line, 1, true), line)
        local list = {}
        for row in README:sub(from):match "\n(|.-)\n\n":gmatch "[^\n]+" do
            for word in row:match "^| *(.-) *|":gmatch "`([%w_]+)`" do
                list[#list + 1] = word
            end
        end
        return sorted(list)
    end

    it("have the README's fields of an error and of a batch", function()
        assert.same(told "An error is a table; ", fields "zenlayer.Error")
        local batch = fields "zenlayer.Batch"
        for _, name in ipairs(told "and `batches[i]` is") do
            assert.is_truthy(table.concat(batch, " "):find(name, 1, true), name)
        end
    end)

    it("have the codes, kinds and outcomes of the core", function()
        local function core(list)
            local names = {}
            for i, each in ipairs(sources.errors(list)) do
                names[i] = each[1]
            end
            return sorted(names)
        end
        local function alias(name)
            local words = {}
            for word in TYPES:match("@alias " .. name .. " ([^\n]*)"):gmatch '"([%w_]+)"' do
                words[#words + 1] = word
            end
            return sorted(words)
        end
        local codes = {}
        for word in TYPES:gmatch '\n%-%-%-| "([%u_]+)"' do
            codes[#codes + 1] = word
        end
        assert.same(core "ZL_CODES", sorted(codes))
        local kinds = {}
        for _, kind in ipairs(core "ZL_KINDS") do
            kinds[#kinds + 1] = kind:lower()
        end
        assert.same(sorted(kinds), alias "zenlayer%.Kind")
        assert.same({ "not_sent", "rejected", "unknown" }, alias "zenlayer%.Outcome")
    end)

    it("have the events of the core", function()
        local wanted, words = {}, {}
        for i, event in ipairs(sources.events()) do
            wanted[i] = event[2]
        end
        for word in TYPES:match("@alias zenlayer%.EventName\n(.-)\n\n"):gmatch "'\"([%l_]+)\"'" do
            words[#words + 1] = word
        end
        assert.same(wanted, words)
    end)
end)
