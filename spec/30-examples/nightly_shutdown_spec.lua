-- examples/nightly_shutdown.lua, as cron runs it.
local example = require "example"
local process = require "process"
local sandbox = require "sandbox"

describe("examples/nightly_shutdown.lua", function()
    local box, directory

    setup(function()
        box = sandbox.start { "--stop-seconds", "0.2", "--graceful-seconds", "0.2" }
        directory = process.temporary_directory()
    end)
    teardown(function()
        process.remove(directory)
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    local function run(words, environment)
        return example.script(box, "nightly_shutdown.lua", words, environment)
    end

    local function stops()
        local found = {}
        for _, request in ipairs(box:requests()) do
            found[#found + 1] = request.action == "StopInstances" and request.params or nil
        end
        return found
    end

    it("says nothing when all are STOPPED", function()
        local ids = box:ids(3)
        assert.same({ 0, "", "" }, { run { "60", table.unpack(ids) } })
        assert.same({ { instanceIds = ids, forceShutdown = false } }, stops())
        for _, status in pairs(box:client():describe_instances_status(ids)) do
            assert.equal("STOPPED", status)
        end
    end)

    it("leaves alone what is off already", function()
        local ids = box:ids(1)
        assert.same({ 0, "", "" }, { run { "60", "stopped-1", ids[1], "stopped-2" } })
        assert.same({ { instanceIds = ids, forceShutdown = false } }, stops())
        box:mark()
        assert.same({ 0, "", "" }, { run { "60", "stopped-1" } })
        assert.same({}, stops())
    end)

    it("reads ids from files, with comments", function()
        local ids = box:ids(4)
        process.write(directory .. "/ids", ("# at night\n%s  %s # two\n\n   # none\n%s")
            :format(ids[1], ids[2], ids[3]))
        assert.same({ 0, "", "" }, { run { "60", "@" .. directory .. "/ids", ids[4] } })
        assert.same(ids, stops()[1].instanceIds)
    end)

    it("powers off what does not shut down within the grace", function()
        local slow = sandbox.start { "--graceful-seconds", "600", "--stop-seconds", "0.2",
            "--instance", "slow=RUNNING" }
        slow:faults { { fault = "status", status = 403, code = "NOT_YOURS",
            action = "StopInstances", requests = { 2 } } }
        local status, out, err = example.script(slow, "nightly_shutdown.lua", { "0.5", "slow" })
        local forces = {}
        for _, request in ipairs(slow:requests()) do
            if request.action == "StopInstances" then
                forces[#forces + 1] = request.params.forceShutdown
            end
        end
        slow:stop()
        assert.same({ false, true }, forces)
        assert.equal(1, status)
        assert.equal("", out)
        assert.is_truthy(err:find "^nightly_shutdown: zenlayer: NOT_YOURS: ", err)
        assert.is_truthy(err:find "\n  accepted, now STOPPING %(1%): slow\n$", err)
    end)

    it("tells of all by what became of them, when one is bad", function()
        local ids = box:ids(2)
        local status, out, err = run { "60", ids[1], "missing-1", "recycled-2", ids[2] }
        assert.equal(1, status)
        assert.equal("", out)
        local line, rest = err:match "^([^\n]*)\n(.*)$"
        assert.is_truthy(line:find "^nightly_shutdown: zenlayer: INVALID_INSTANCE_NOT_FOUND: ", err)
        assert.equal(("  accepted, now STOPPED (2): %s %s\n"):format(ids[1], ids[2])
            .. "  rejected INVALID_INSTANCE_NOT_FOUND (1): missing-1\n"
            .. "  rejected OPERATION_DENIED_INSTANCE_RECYCLED (1): recycled-2\n", rest)
    end)

    it("begins nothing when there are no statuses", function()
        box:faults { { fault = "status", status = 403, code = "NOT_YOURS" } }
        local status, out, err = run { "60", "a" }
        assert.equal(2, status)
        assert.equal("", out)
        assert.is_truthy(err:find "^nightly_shutdown: zenlayer: NOT_YOURS: [^\n]*\n$", err)
    end)

    it("begins nothing without usage, file or keys", function()
        local usage = "nightly_shutdown: usage: nightly_shutdown.lua SECONDS (id | @FILE) ...\n"
        process.write(directory .. "/none", "# nothing\n")
        for _, words in ipairs {
            {}, { "60" }, { "a", "b" }, { "60", "@" .. directory .. "/none" },
        } do
            assert.same({ 2, "", usage }, { run(words) })
        end
        local status, out, err = run { "60", "@" .. directory .. "/missing" }
        assert.same({ 2, "" }, { status, out })
        assert.is_truthy(err:find(directory .. "/missing", 1, true), err)
        status, out, err = run({ "60", "a" }, { ZENLAYER_ACCESS_KEY_SECRET = false })
        assert.same({ 2, "" }, { status, out })
        assert.is_truthy(err:find("CREDENTIALS_INVALID", 1, true), err)
        status, out, err = run { "-1", "a" }
        assert.same({ 2, "" }, { status, out })
        assert.is_truthy(err:find("options.grace", 1, true), err)
        assert.same({}, stops())
    end)
end)
