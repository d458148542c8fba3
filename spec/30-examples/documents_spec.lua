-- What the documents name is there: files, targets, the places that links lead to. And
-- CONTRIBUTING.md names all there is.
local lfs = require "lfs"
local process = require "process"
local sources = require "sources"

local CONTRIBUTING = process.read "CONTRIBUTING.md"
local DOCUMENTS = { "README.md", "CONTRIBUTING.md", "CHANGELOG.md" }

local function keys(set)
    local list = {}
    for key in pairs(set) do
        list[#list + 1] = key
    end
    table.sort(list)
    return list
end

-- What follows `#` in a link to each heading of a document.
local function anchors(text)
    local found = {}
    for heading in ("\n" .. text):gmatch "\n#+ ([^\n]+)" do
        found[heading:lower():gsub("[^%w _-]", ""):gsub(" ", "-")] = true
    end
    return found
end

describe("CONTRIBUTING.md", function()
    for _, folder in ipairs { "api", "binding" } do
        it("has all rooms of " .. folder .. ", and no others", function()
            local there, told = {}, {}
            for name in lfs.dir(folder) do
                local room = name:match "^([%w_]+)%.[ch]$"
                there[room or 0] = room and true or nil
            end
            local heading = "### The rooms of " .. folder .. "/\n"
            local from = assert(CONTRIBUTING:find(heading, 1, true))
            for cell in CONTRIBUTING:sub(from):match "\n(|.-)\n\n":gmatch "\n| ([^|]+)|" do
                for room in cell:gmatch "`([%w_]+)`" do
                    assert.is_nil(told[room], room)
                    told[room] = true
                end
            end
            assert.same(keys(there), keys(told))
        end)
    end

    it("has all targets of make help, and no others", function()
        local told = {}
        for target in CONTRIBUTING:gmatch "`make ([%l-]+)[^`]*`" do
            told[target] = true
        end
        assert.same(keys(sources.make_targets()), keys(told))
    end)

    it("names files that there are", function()
        local count = 0
        for path in CONTRIBUTING:gmatch "`([%w_./-]+/[%w_.-]*)`" do
            if not path:find "^build/" and not path:find "%.so$" then
                assert(lfs.attributes(path), path)
                count = count + 1
            end
        end
        assert.is_true(count > 30, count)
    end)
end)

describe("links", function()
    for _, document in ipairs(DOCUMENTS) do
        it("in " .. document .. " lead somewhere", function()
            local text = process.read(document)
            for target in text:gmatch "%]%(([^)]+)%)" do
                local anchor = target:match "^#(.+)$"
                if anchor then
                    assert(anchors(text)[anchor], target)
                elseif not target:find "^https://" then
                    assert(lfs.attributes(target), target)
                end
            end
        end)
    end
end)
