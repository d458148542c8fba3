-- examples/accounts.lua: accounts of a credentials file, all at once.
local example = require "example"
local process = require "process"
local sandbox = require "sandbox"

describe("examples/accounts.lua", function()
    local box, home

    setup(function()
        box = sandbox.start { "--stop-seconds", "600" }
        home = process.temporary_directory()
        process.check { "mkdir", "-m", "700", home .. "/.zenlayer" }
        local path = home .. "/.zenlayer/credentials.json"
        process.write(path, ([[{
            "main": { "access_key_id": "%s", "access_key_secret": "%s" },
            "ci": { "token": "%s" },
            "wrong": { "access_key_id": "%s", "access_key_secret": "not it" }
        }]]):format(box.KEY_ID, box.PASSWORD, box.TOKEN, box.KEY_ID))
        process.check { "chmod", "600", path }
    end)
    teardown(function()
        process.remove(home)
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    -- Its environment has no keys.
    local function run(...)
        return example.script(box, "accounts.lua", { ... }, {
            HOME = home, ZENLAYER_ACCESS_KEY_ID = false, ZENLAYER_ACCESS_KEY_SECRET = false,
        })
    end

    local function stopped()
        local found = {}
        for _, request in ipairs(box:requests()) do
            assert.equal("StopInstances", request.action)
            assert.is_false(request.params.forceShutdown)
            found[#found + 1] = request.acted and table.concat(request.acted_ids, " ") or nil
        end
        table.sort(found)
        return found
    end

    it("stops the ids of each account with its own keys", function()
        local a, b = box:ids(2), box:ids(1)
        local status, out, err = run("main=" .. table.concat(a, ","), "ci=" .. b[1])
        assert.equal("", err)
        assert.equal(0, status)
        assert.equal("main\taccepted\t2\nci\taccepted\t1\n", out)
        assert.same({ table.concat(a, " "), b[1] }, stopped())
    end)

    it("does so at the same time", function()
        local seconds = process.slowness
        box:faults { { fault = "delay", seconds = seconds } }
        local words = {}
        for i = 1, 8 do
            words[i] = (i % 2 == 0 and "ci=" or "main=") .. box:ids(1)[1]
        end
        local began = process.now()
        local status, _, err = run(table.unpack(words))
        assert.equal(0, status, err)
        assert.equal(8, #stopped())
        assert.is_true(process.now() - began < 6 * seconds)
    end)

    it("tells of each account that failed, and does the others", function()
        local ids = box:ids(2)
        local status, out, err = run("wrong=a", "main=" .. ids[1] .. ",missing-1", "none=b",
            "ci=" .. ids[2], "main=,")
        assert.equal(1, status)
        assert.equal(table.concat({
            "wrong\trejected\tAUTHFAILURE_SIGNATURE_FAILURE",
            "main\trejected\tINVALID_INSTANCE_NOT_FOUND", "none\tnot_sent\tCREDENTIALS_MISSING",
            "ci\taccepted\t1", "main\tnot_sent\tINVALID_ARGUMENT", "",
        }, "\n"), out)
        for _, account in ipairs { "wrong", "main", "none", "main" } do
            local line, rest = err:match "^([^\n]*)\n(.*)$"
            assert.is_truthy(line:find("^" .. account .. ": zenlayer: "), err)
            err = rest
        end
        assert.equal("", err)
        assert.same({ ids[2] }, stopped())
    end)

    it("refuses bad usage", function()
        for _, words in ipairs { {}, { "main" }, { "main=a", "ci" }, { "=a" }, { "main=" } } do
            assert.same({ 2, "", "usage: accounts.lua PROFILE=ID[,ID...] ...\n" },
                { run(table.unpack(words)) })
        end
        assert.equal(0, #box:requests())
    end)
end)
