-- Every text in an error, keys too and all the way down, and its line for a log.
local function texts(err)
    local found, seen = { tostring(err) }, {}
    local function walk(value)
        if type(value) ~= "table" then
            found[#found + 1] = tostring(value)
        elseif not seen[value] then
            seen[value] = true
            found[#found + 1] = tostring(value)
            for key, item in next, value do
                walk(key)
                walk(item)
            end
        end
    end
    walk(err)
    return table.concat(found, "\n")
end

return texts
