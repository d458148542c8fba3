-- Where new finds credentials: its options, then the environment. (The files have a spec of their
-- own.)
local credentials = require "binding_credentials"
local errors = require "binding_errors"

local new, refused = credentials.new, credentials.refused
local SECRET = credentials.SECRET
local ID, PASSWORD, TOKEN = credentials.ID, credentials.PASSWORD, credentials.TOKEN
local OTHERS = credentials.OTHERS

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
        refused("CREDENTIALS_INVALID", { OTHERS[1] .. " without " .. ID }, { [OTHERS[1]] = SECRET })
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
        refused("CREDENTIALS_MISSING", { "access_key_id", "access_key_password", "token", "profile",
            "or credentials;", ID, PASSWORD, TOKEN, table.unpack(OTHERS) }, {})
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
