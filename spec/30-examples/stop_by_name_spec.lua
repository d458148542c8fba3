-- examples/stop_by_name.lua, as somebody runs it from a shell.
local example = require "example"
local sandbox = require "sandbox"

describe("examples/stop_by_name.lua", function()
    local box

    before_each(function()
        box = sandbox.start {
            "--instances", "3", "--instance", "web-1=RUNNING", "--instance", "web-2=STOPPED",
            "--instance", "web-3=RUNNING", "--stop-seconds", "600",
        }
    end)
    after_each(function()
        box:stop()
    end)

    local function run(...)
        return example.script(box, "stop_by_name.lua", { ... })
    end

    local function stops()
        local found = {}
        for _, request in ipairs(box:requests()) do
            found[#found + 1] = request.action == "StopInstances" and request or nil
        end
        return found
    end

    local LIST = "web-1\tname-of-web-1\nweb-3\tname-of-web-3\n"

    it("stops what runs and has such a name, in order", function()
        local status, out, err = run "^name%-of%-web"
        assert.equal("", err)
        assert.equal(0, status)
        assert.equal(1, #stops())
        assert.same({ instanceIds = { "web-1", "web-3" }, forceShutdown = false },
            stops()[1].params)
        assert.equal(LIST .. "request\t" .. stops()[1].request_id .. "\n", out)
        status, out, err = run "web"
        assert.equal("stop_by_name: no running instance has such a name\n", err)
        assert.equal("", out)
        assert.equal(0, status)
        assert.equal(1, #stops())
    end)

    it("with --dry-run shows the request, and sends none", function()
        local status, out, err = run("--dry-run", "web")
        assert.equal("", err)
        assert.equal(0, status)
        assert.equal(0, #stops())
        assert.equal(1, #box:requests())
        out = out:gsub("(X%-ZC%-Timestamp: )%d+", "%1SECONDS")
            :gsub("(X%-ZC%-Sdk%-Version: )[%d.]+", "%1VERSION")
            :gsub("(lua%-zenlayer/)[%d.]+", "%1VERSION")
        local host = box.endpoint:match "//(.*)"
        assert.equal(LIST .. table.concat({
            "POST " .. box.endpoint .. "/api/v2/vm", "Authorization: (not shown)",
            "Content-Type: application/json; charset=utf-8", "Host: " .. host,
            "User-Agent: lua-zenlayer/VERSION", "X-ZC-Action: StopInstances",
            "X-ZC-Sdk-Lang: lua", "X-ZC-Sdk-Version: VERSION", "X-ZC-Service: vm",
            "X-ZC-Signature-Method: ZC2-HMAC-SHA256", "X-ZC-Timestamp: SECONDS",
            "X-ZC-Version: 2026-04-01", "",
            '{"forceShutdown":false,"instanceIds":["web-1","web-3"]}', "",
        }, "\n"), out)
    end)

    it("goes through all pages", function()
        box:stop()
        box = sandbox.start { "--instances", "250", "--stop-seconds", "600" }
        local status, out, err = run "1$"
        assert.equal("", err)
        assert.equal(0, status)
        local ids = {}
        for i = 1, 241, 10 do
            ids[#ids + 1] = ("ins-%04d"):format(i)
        end
        assert.same(ids, stops()[1].params.instanceIds)
        local _, lines = out:gsub("\n", "")
        assert.equal(#ids + 1, lines)
        assert.equal(3 + 1, #box:requests())
    end)

    it("stops nothing when the list is not whole", function()
        box:stop()
        box = sandbox.start { "--instances", "250" }
        box:faults { { fault = "status", status = 403, code = "NOT_YOURS", requests = { 2 } } }
        local status, _, err = run "."
        assert.equal(1, status)
        assert.is_truthy(err:find "^stop_by_name: zenlayer: NOT_YOURS: [^\n]+\n$", err)
        assert.equal(0, #stops())
    end)

    it("tells what became of which when a stop fails", function()
        box:faults { { fault = "status", status = 403, code = "NOT_YOURS",
            action = "StopInstances" } }
        local status, out, err = run "web"
        assert.equal(1, status)
        assert.equal(LIST, out)
        assert.is_truthy(err:find "^stop_by_name: zenlayer: NOT_YOURS: [^\n]+\n", err)
        assert.is_truthy(err:find "\n  rejected: web%-1 web%-3\n$", err)
    end)

    it("refuses bad usage, and a bad pattern", function()
        for _, words in ipairs { {}, { "a", "b" }, { "--dry-run" }, { "--dry-run", "a", "b" },
            { "--dryrun" }, { "--help" } } do
            local status, out, err = run(table.unpack(words))
            assert.equal(2, status, table.concat(words, " "))
            assert.equal("", out)
            assert.equal("usage: stop_by_name.lua [--dry-run] PATTERN\n", err)
        end
        local status, out, err = run "["
        assert.equal(1, status)
        assert.equal("", out)
        assert.is_truthy(err:find "^stop_by_name: [^\n]*malformed pattern[^\n]*\n$", err)
        assert.equal(0, #stops())
    end)
end)
