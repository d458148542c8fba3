-- The README's blocks of code, for the specs that run them.
--
--   readme.take 'client:pages("'     -- the one block in which this stands; it is taken then
--   readme.blocks "sh"               -- all of a kind
--   readme.untaken "lua"             -- the lines where those of a kind begin that nobody took
--
-- A block is { kind =, text =, line = }: the word after the fence is its kind, but a block of Lua
-- that is for OpenResty is of the kind "nginx".
local process = require "process"

local readme = { text = process.read "README.md" }

local all, open = {}, nil
local number = 0
for line in readme.text:gmatch "([^\n]*)\n" do
    number = number + 1
    local fence = line:match "^%s*```(.*)$"
    if not fence then
        if open then
            open.lines[#open.lines + 1] = line
        end
    elseif not open then
        open = { kind = fence, line = number, lines = {} }
    else
        assert(fence == "", "README.md:" .. number .. ": a fence within a block")
        open.text = table.concat(open.lines, "\n") .. "\n"
        if open.text:find('require "resty.', 1, true) then
            open.kind = "nginx"
        end
        all[#all + 1] = open
        open = nil
    end
end
assert(not open, "README.md: the last block has no end")

function readme.blocks(kind)
    local found = {}
    for _, block in ipairs(all) do
        found[#found + 1] = (kind == nil or block.kind == kind) and block or nil
    end
    return found
end

function readme.take(mark)
    local found
    for _, block in ipairs(all) do
        if block.text:find(mark, 1, true) then
            assert(not found, "in more than one block of the README: " .. mark)
            found = block
        end
    end
    assert(found, "in no block of the README: " .. mark)
    found.taken = true
    return found
end

function readme.untaken(kind)
    local lines = {}
    for _, block in ipairs(readme.blocks(kind)) do
        lines[#lines + 1] = not block.taken and block.line or nil
    end
    return lines
end

return readme
