-- examples/safe_or_raise.lua: both styles come to the same, whatever happens.
local example = require "example"
local sandbox = require "sandbox"

describe("examples/safe_or_raise.lua", function()
    local box

    setup(function()
        box = sandbox.start { "--stop-seconds", "600" }
    end)
    teardown(function()
        box:stop()
    end)

    -- { what happens, faults, ids, environment, exit status, stdout, the last line of stderr }
    local REFUSED = "nothing was done, and the same would be refused again"
    local CASES = {
        { "an id that does not exist", {}, { "missing-1" }, {}, 1,
            "api\trejected\tINVALID_INSTANCE_NOT_FOUND", REFUSED },
        { "no ids", {}, {}, {}, 1, "argument\tnot_sent\tINVALID_ARGUMENT",
            "the program is wrong, at instance_ids; nothing was sent" },
        { "half a key", {}, { "a" }, { ZENLAYER_ACCESS_KEY_SECRET = false }, 1,
            "credentials\tnot_sent\tCREDENTIALS_INVALID",
            "there is no key to sign with; nothing was sent" },
        { "a rate limit", { { fault = "rate_limit", retry_after = 600 } }, { "a" }, {}, 1,
            "api\trejected\tREQUEST_LIMIT_EXCEEDED", "nothing was done: try again later" },
        { "a lost answer", { { fault = "reset_after" } }, { "a" }, {}, 3,
            "network\tunknown\tCONNECTION_LOST",
            "it may have been done: look at the status before you do anything else" },
        { "another server", {}, { "a" }, { ZENLAYER_CA_FILE = false }, 1,
            "network\tnot_sent\tTLS_VERIFY_FAILED",
            "nothing was sent, and it will not be better later" },
    }

    for _, style in ipairs { "raise", "safe" } do
        it("stops, with errors that are for " .. style, function()
            box:faults {}
            local ids = box:ids(2)
            local status, out, err = example.script(box, "safe_or_raise.lua",
                { style, table.unpack(ids) })
            assert.equal("", err)
            assert.equal(0, status)
            local requests = box:requests()
            assert.equal("accepted\t" .. requests[1].request_id .. "\n", out)
            assert.same({ instanceIds = ids, forceShutdown = false }, requests[1].params)
        end)

        for _, case in ipairs(CASES) do
            it("tells of " .. case[1] .. ", with errors that are for " .. style, function()
                box:faults(case[2])
                local status, out, err = example.script(box, "safe_or_raise.lua",
                    { style, table.unpack(case[3]) }, case[4])
                assert.equal(case[5], status, err)
                assert.equal(case[6] .. "\n", out)
                assert.is_truthy(err:find "^zenlayer: ", err)
                assert.equal(case[7], err:match "\n([^\n]*)\n$")
            end)
        end
    end

    it("does not say that nothing was done where some was", function()
        box:faults {}
        for _, style in ipairs { "raise", "safe" } do
            local ids = box:ids(100)
            ids[101] = "missing-1"
            local status, out, err = example.script(box, "safe_or_raise.lua",
                { style, table.unpack(ids) })
            assert.equal(1, status, err)
            assert.equal("api\trejected\tINVALID_INSTANCE_NOT_FOUND\n", out)
            assert.equal("100 are stopping; err.batches has the others", err:match "\n([^\n]*)\n$")
        end
    end)

    it("refuses bad usage", function()
        for _, words in ipairs { {}, { "a" }, { "both", "a" } } do
            assert.same({ 2, "", "usage: safe_or_raise.lua (raise | safe) id ...\n" },
                { example.script(box, "safe_or_raise.lua", words) })
        end
    end)
end)
