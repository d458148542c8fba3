-- Where new finds credentials: its options, then the environment. The environment cannot be changed
-- from within Lua, so most of this runs in other processes.
local errors = require "binding_errors"
local process = require "process"

local SECRET = "s3cr3t-va1ue"
local ID, PASSWORD, TOKEN =
    "ZENLAYER_ACCESS_KEY_ID", "ZENLAYER_ACCESS_KEY_SECRET", "ZENLAYER_TOKEN"
local OTHERS = {
    "ZENLAYER_ACCESS_KEY_PASSWORD",
    "ZENLAYERCLOUD_SECRET_KEY_ID", "ZENLAYERCLOUD_SECRET_KEY_PASSWORD",
    "ZENLAYERCLOUD_ACCESS_KEY_ID", "ZENLAYERCLOUD_ACCESS_KEY_PASSWORD",
}

-- Prints what new says: "found", or the error's kind, code, outcome, message. Fails if the two
-- modules do not say the same, or if a secret is in what they say.
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
    return "found"
end
local ok, raised = pcall(zenlayer.new, options())
local client, returned = safe.new(options())
assert(ok == (client ~= nil))
assert(tell(raised) == tell(client or returned))
print(tell(raised))
]]

local function new(environment, options)
    local all = { [ID] = false, [PASSWORD] = false, [TOKEN] = false, HOME = "/nonexistent" }
    for _, name in ipairs(OTHERS) do
        all[name] = false
    end
    for name, value in pairs(environment) do
        all[name] = value
    end
    local output, status = process.run_lua(SCRIPT, all, options or "")
    assert.equal(0, status, output)
    return output
end

local function refused(code, parts, environment, options)
    local output = new(environment, options)
    local head = "credentials\n" .. code .. "\nnot_sent\n"
    assert.equal(head, output:sub(1, #head))
    for _, part in ipairs(parts) do
        assert(output:find(part, 1, true), part .. " is not in: " .. output)
    end
end

local PAIR_GIVEN = ("access_key_id=KEY;access_key_password=%s;"):format(SECRET)
local TOKEN_GIVEN = ("token=%s;"):format(SECRET)

describe("the options", function()
    it("are enough: a pair, or a token", function()
        assert.equal("found\n", new({}, PAIR_GIVEN))
        assert.equal("found\n", new({}, TOKEN_GIVEN))
    end)

    it("are not both a pair and a token, nor half a pair and a token", function()
        for _, key in ipairs { PAIR_GIVEN, "access_key_id=KEY;",
            ("access_key_password=%s;"):format(SECRET) } do
            refused("CREDENTIALS_INVALID", { "token", "access_key" }, {}, key .. TOKEN_GIVEN)
        end
    end)

    it("are not half a pair, whatever the environment has", function()
        for _, environment in ipairs {
            {}, { [TOKEN] = SECRET }, { [ID] = "ENV", [PASSWORD] = SECRET },
            { [PASSWORD] = SECRET }, { [ID] = "ENV" },
        } do
            local names = { "access_key_id", "access_key_password" }
            refused("CREDENTIALS_INVALID", names, environment, "access_key_id=KEY;")
            refused("CREDENTIALS_INVALID", names, environment,
                ("access_key_password=%s;"):format(SECRET))
        end
    end)

    it("go before the environment, however broken that is", function()
        for _, environment in ipairs {
            { [ID] = "ENV" }, { [PASSWORD] = SECRET }, { [ID] = "ENV", [TOKEN] = SECRET },
            { [ID] = "A\nB", [PASSWORD] = SECRET },
        } do
            assert.equal("found\n", new(environment, PAIR_GIVEN))
            assert.equal("found\n", new(environment, TOKEN_GIVEN))
        end
    end)
end)

describe("the environment", function()
    it("is enough: a pair, or a token", function()
        assert.equal("found\n", new { [ID] = "ENV", [PASSWORD] = SECRET })
        assert.equal("found\n", new { [TOKEN] = SECRET })
    end)

    it("does not have both", function()
        for _, environment in ipairs {
            { [ID] = "ENV", [PASSWORD] = SECRET, [TOKEN] = SECRET },
            { [ID] = "ENV", [TOKEN] = SECRET }, { [PASSWORD] = SECRET, [TOKEN] = SECRET },
        } do
            refused("CREDENTIALS_INVALID", { "environment", TOKEN }, environment)
        end
    end)

    it("does not have half a pair", function()
        refused("CREDENTIALS_INVALID", { "environment", ID, PASSWORD }, { [ID] = "ENV" })
        refused("CREDENTIALS_INVALID", { "environment", ID, PASSWORD }, { [PASSWORD] = SECRET })
        refused("CREDENTIALS_INVALID", { ID, PASSWORD }, { [ID] = "ENV", [PASSWORD] = "" })
        refused("CREDENTIALS_INVALID", { ID, PASSWORD }, { [ID] = "", [PASSWORD] = SECRET })
    end)

    it("may say password in place of secret, but not two different ones", function()
        assert.equal("found\n", new { [ID] = "ENV", [OTHERS[1]] = SECRET })
        assert.equal("found\n", new { [ID] = "ENV", [OTHERS[1]] = SECRET, [PASSWORD] = SECRET })
        assert.equal("found\n", new { [ID] = "ENV", [OTHERS[1]] = "", [PASSWORD] = SECRET })
        refused("CREDENTIALS_INVALID", { PASSWORD, OTHERS[1], "not the same" },
            { [ID] = "ENV", [OTHERS[1]] = SECRET .. "x", [PASSWORD] = SECRET })
        refused("CREDENTIALS_INVALID", { ID, PASSWORD }, { [OTHERS[1]] = SECRET })
    end)

    it("may use the names of the SDKs, which do not fill up other names", function()
        for _, first in ipairs { 2, 4 } do
            local id, password = OTHERS[first], OTHERS[first + 1]
            assert.equal("found\n", new { [id] = "ENV", [password] = SECRET })
            refused("CREDENTIALS_INVALID", { "environment", id, password }, { [id] = "ENV" })
            refused("CREDENTIALS_INVALID", { "environment", id, password },
                { [password] = SECRET })
            refused("CREDENTIALS_INVALID", { ID, PASSWORD },
                { [ID] = "ENV", [id] = "ENV", [password] = SECRET })
            -- What comes first is enough.
            assert.equal("found\n", new { [TOKEN] = SECRET, [id] = "ENV" })
        end
    end)

    it("has nothing in an empty variable", function()
        local names = { ID, PASSWORD, TOKEN, "access_key_id", "access_key_password", "token" }
        refused("CREDENTIALS_MISSING", names, { [ID] = "", [PASSWORD] = "", [TOKEN] = "" })
        assert.equal("found\n", new { [ID] = "", [PASSWORD] = "", [TOKEN] = SECRET })
        assert.equal("found\n", new { [ID] = "ENV", [PASSWORD] = SECRET, [TOKEN] = "" })
    end)

    it("does not have what a header cannot carry", function()
        for _, bad in ipairs { SECRET .. "\nX-Evil: 1", SECRET .. "\r" } do
            refused("CREDENTIALS_INVALID", { TOKEN }, { [TOKEN] = bad })
            refused("CREDENTIALS_INVALID", { ID }, { [ID] = bad, [PASSWORD] = SECRET })
        end
    end)
end)

describe("nowhere", function()
    it("is told with every place that was looked at", function()
        refused("CREDENTIALS_MISSING", { "access_key_id", "access_key_password", "token", ID,
            PASSWORD, TOKEN, OTHERS[2], OTHERS[3], OTHERS[4], OTHERS[5] }, {})
    end)
end)

describe("an error", function()
    it("about other options holds no credentials either", function()
        for _, bad in ipairs { { timeout = 0 }, { endpoint = "x" }, { unknown = 1 },
            { service = 1 }, { ca_file = "/nonexistent" }, { proxy = "" } } do
            for _, name in ipairs { "access_key_password", "token", "access_key_id" } do
                local given = errors.options(bad)
                given[name] = SECRET .. "\r\n"
                if name == "token" then
                    given.access_key_id, given.access_key_password = nil, nil
                end
                local err = errors.caught(function(module)
                    return module.new(given)
                end)
                for _, field in pairs(err) do
                    assert.is_nil(tostring(field):find(SECRET, 1, true))
                end
            end
        end
    end)
end)
