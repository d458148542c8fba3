-- What new says to options and an environment. The environment cannot be changed from within Lua,
-- so it is asked in another process.
local assert = require "luassert"
local process = require "process"

local credentials = {
    SECRET = "s3cr3t-va1ue", -- what must not be told
    ID = "ZENLAYER_ACCESS_KEY_ID",
    PASSWORD = "ZENLAYER_ACCESS_KEY_SECRET",
    TOKEN = "ZENLAYER_TOKEN",
    OTHERS = {
        "ZENLAYER_ACCESS_KEY_PASSWORD",
        "ZENLAYERCLOUD_SECRET_KEY_ID", "ZENLAYERCLOUD_SECRET_KEY_PASSWORD",
        "ZENLAYERCLOUD_ACCESS_KEY_ID", "ZENLAYERCLOUD_ACCESS_KEY_PASSWORD",
    },
}

-- Prints "found" and the authorization of a request that the client would send, or the error's
-- kind, code, outcome and message. Fails if the two modules do not say the same, or if a secret is
-- in what they say.
local SCRIPT = [[
local zenlayer, safe = require "zenlayer", require "zenlayer.safe"
local function options()
    local given = { endpoint = "https://127.0.0.1:1", proxy = false }
    for name, value in arg[1]:gmatch "([%w_]+)=([^;]*);" do
        given[name] = value
    end
    return given
end
local function tell(value)
    if zenlayer.is_error(value) then
        assert(not tostring(value):find("s3cr3t", 1, true))
        for _, field in pairs(value) do
            assert(not tostring(field):find("s3cr3t", 1, true))
        end
        return table.concat({ value.kind, value.code, value.outcome, value.message }, "\n")
    end
    assert(not tostring(value):find("s3cr3t", 1, true))
    local _, _, request = value:prepare("Echo"):step()
    return "found\n" .. request.headers.Authorization:gsub(", Signature=%x+$", "")
end
local ok, raised = pcall(zenlayer.new, options())
local client, returned = safe.new(options())
assert(ok == (client ~= nil))
assert(tell(raised) == tell(client or returned))
print(tell(raised))
]]

-- What is printed, and the authorization. `environment` is { NAME = value }; of what the module
-- looks at nothing else is set, and there are no files.
function credentials.new(environment, options)
    local all = { HOME = "/nonexistent", ZENLAYER_PROFILE = false }
    for _, name in ipairs { "ID", "PASSWORD", "TOKEN" } do
        all[credentials[name]] = false
    end
    for _, name in ipairs(credentials.OTHERS) do
        all[name] = false
    end
    for name, value in pairs(environment) do
        all[name] = value
    end
    local output, status = process.run_lua(SCRIPT, all, options or "")
    assert.equal(0, status, output)
    local found, authorization = output:match "^(found\n)(.*)\n$"
    return found or output, authorization
end

-- new fails with this code, and all of these parts are in what it says. Returns that.
function credentials.refused(code, parts, environment, options)
    local output = credentials.new(environment, options)
    local head = "credentials\n" .. code .. "\nnot_sent\n"
    assert.equal(head, output:sub(1, #head))
    for _, part in ipairs(parts) do
        assert.is_truthy(output:find(part, 1, true), part .. " is not in: " .. output)
    end
    return output
end

return credentials
