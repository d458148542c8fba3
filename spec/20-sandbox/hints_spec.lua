-- The hints of refusals: what usually causes them, beside the API's own words.
local closing = require "every_lua".closing
local expect = require "expect"
local sandbox = require "sandbox"

local SIGNATURE = "usually the access key password is not that of the access key id, or a proxy "
    .. "rewrites the request's body or headers"
local AUTHORIZATION = "usually the access key id, or the token, is mistyped, disabled or deleted"
local ISOLATE = "isolate = true finds which of the ids, and stops the rest"

describe("the hint of", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    local function refused(code, hint, options, call)
        local client = closing(box:client(options))
        local err = expect.failure({ code = code, outcome = "rejected", hint = hint },
            (call or client.call)(client, "Echo"))
        local line = tostring(err)
        assert.is_truthy(line:find(err.message, 1, true), line)
        if hint == expect.ABSENT then
            assert.is_truthy(line:find("rejected%)$"), line)
        elseif hint then
            assert.equal("rejected); " .. hint, line:match "rejected%).*$")
        end
        return err
    end

    local function pair(id, password)
        return { access_key_id = id, access_key_password = password }
    end

    it("a wrong password", function()
        local err = refused("AUTHFAILURE_SIGNATURE_FAILURE", SIGNATURE, pair(box.KEY_ID, "wr0ng"))
        assert.equal("the signature does not match the request", err.message)
        assert.is_nil(expect.texts(err):find("wr0ng", 1, true))
    end)

    it("a password with white space around it, which is not shown", function()
        for _, password in ipairs {
            box.PASSWORD .. "\n", box.PASSWORD .. "\r\n", " " .. box.PASSWORD, box.PASSWORD .. "\t",
        } do
            local err = refused("AUTHFAILURE_SIGNATURE_FAILURE",
                "the access key password begins or ends with white space",
                pair(box.KEY_ID, password))
            assert.is_nil(expect.texts(err):find(box.PASSWORD, 1, true))
        end
    end)

    it("an id, or a token, that nobody knows", function()
        refused("AUTHFAILURE_INVALID_AUTHORIZATION", AUTHORIZATION, pair("SOMEBODY", box.PASSWORD))
        refused("AUTHFAILURE_INVALID_AUTHORIZATION", AUTHORIZATION, { token = "another" })
    end)

    it("an id, or a token, with white space around it", function()
        refused("AUTHFAILURE_INVALID_AUTHORIZATION",
            "the access key id begins or ends with white space",
            pair(" " .. box.KEY_ID, box.PASSWORD))
        refused("AUTHFAILURE_INVALID_AUTHORIZATION", "the token begins or ends with white space",
            { token = " " .. box.TOKEN })
        refused("AUTHFAILURE_SIGNATURE_FAILURE",
            "each of the access key id and its password begins or ends with white space",
            { access_key_id = box.KEY_ID .. " ", access_key_password = box.PASSWORD .. " " },
            function(client)
                box:faults { {
                    fault = "status", status = 401, code = "AUTHFAILURE_SIGNATURE_FAILURE",
                    message = "as the fault script says",
                } }
                return client:call "Echo"
            end)
    end)

    -- One of two clocks may just have gone on to its next second.
    local function about(hint, seconds, rest)
        local told = tonumber(hint:match "this machine's clock is (%d+) s ")
        assert.is_truthy(told and math.abs(told - seconds) <= 3, hint)
        assert.equal("this machine's clock is " .. told .. " s " .. rest,
            hint:match "this machine's clock.*")
    end

    it("a clock that is wrong, and cannot be corrected any more", function()
        box:faults { { fault = "clock", offset = 3600 } }
        about(refused("AUTHFAILURE_SIGNATURE_EXPIRED", nil, { max_attempts = 1 }).hint, 3600,
            "behind the server's")
        box:faults { { fault = "clock", offset = -3600 } }
        about(refused("AUTHFAILURE_SIGNATURE_EXPIRED", nil, { max_attempts = 1 }).hint, 3600,
            "ahead of the server's")
    end)

    it("a clock that is wrong, which is not why", function()
        box:faults { { fault = "clock", offset = 3600 } }
        local hint = refused("AUTHFAILURE_SIGNATURE_FAILURE", nil, pair(box.KEY_ID, "wr0ng")).hint
        assert.equal(SIGNATURE .. "; ", hint:sub(1, #SIGNATURE + 2))
        about(hint, 3600, "behind the server's, which was allowed for")
    end)

    it("what the key may not do", function()
        for _, code in ipairs { "AUTHFAILURE_UNAUTHORIZED_OPERATION", "UNAUTHORIZED_OPERATION" } do
            box:faults { {
                fault = "status", status = 403, code = code, message = "as the fault script says",
            } }
            refused(code, "the key's user may not do this, or there is no such action in this "
                .. "service and api_version")
        end
    end)

    it("the network edge", function()
        box:faults { { fault = "challenge" } }
        refused("SECURITY_CHALLENGE", "the network edge does not trust this machine's address: "
            .. "call from another one, or ask Zenlayer to let it through")
    end)

    it("a rate limit", function()
        local hint = "a lower max_concurrency sends fewer requests at a time"
        box:faults { { fault = "rate_limit" } }
        refused("REQUEST_LIMIT_EXCEEDED", hint, { max_attempts = 1 })
    end)

    it("a batch that was refused for some of its ids", function()
        local function stop(ids, options)
            return function(client)
                return client:stop_instances(ids, options)
            end
        end
        local ids = box:ids(150)
        ids[120] = "missing-1"
        local err = refused("INVALID_INSTANCE_NOT_FOUND", ISOLATE, nil, stop(ids))
        assert.equal(ISOLATE, err.batches[2].error.hint)
        refused("OPERATION_DENIED_INSTANCE_RECYCLED", ISOLATE, nil, stop { "recycled-1", "a" })
        refused("INVALID_INSTANCE_NOT_FOUND", expect.ABSENT, nil, stop { "missing-1" })
        refused("INVALID_INSTANCE_NOT_FOUND", expect.ABSENT, nil,
            stop({ "missing-1", "a" }, { isolate = true }))
    end)

    it("anything else is none", function()
        box:faults { {
            fault = "status", status = 400, code = "INVALID_PARAMETER_VALUE",
            message = "as the fault script says",
        } }
        refused("INVALID_PARAMETER_VALUE", expect.ABSENT)
        local client = closing(box:client())
        expect.failure({ code = "INVALID_ARGUMENT", hint = expect.ABSENT }, client:call "")
    end)
end)
