-- The README's blocks of Lua do what they say, on every Lua. (Those for OpenResty, and what is no
-- Lua, are in commands_spec.lua.)
local every_lua = require "every_lua"
local process = require "process"
local readme = require "readme"
local sandbox = require "sandbox"
local zenlayer = require "zenlayer"

-- Run a block with these globals besides the usual ones. What it printed, as lines, and the values
-- of an expression at its end, which sees its locals.
local function run(block, globals, expression)
    local printed = {}
    local environment = setmetatable({
        print = function(...)
            local words = { ... }
            for i = 1, select("#", ...) do
                words[i] = tostring((select(i, ...)))
            end
            printed[#printed + 1] = table.concat(words, "\t")
        end,
    }, { __index = function(_, name)
        local value = globals[name]
        if value == nil then
            value = _G[name]
        end
        return value
    end })
    local text = ("\n"):rep(block.line) .. block.text .. "return " .. (expression or "")
    return printed, assert(load(text, "=README.md", "t", environment))()
end

describe("in the README", function()
    local box, client

    setup(function()
        box = sandbox.start { "--stop-seconds", "0" }
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        client = every_lua.closing(box:raising_client { max_concurrency = 1 })
    end)

    -- What the journal has of stops: how many ids each, whether with force.
    local function stops()
        local found = {}
        for _, request in ipairs(box:requests()) do
            if request.action == "StopInstances" then
                assert.is_true(request.acted == (request.status == 200))
                found[#found + 1] = {
                    #request.params.instanceIds, request.params.forceShutdown,
                }
            end
        end
        return found
    end

    local first = readme.take "access_key_id = \"SANDBOXKEY\""
    it("the first script stops two instances, and tells their states", function()
        local script, count = first.text:gsub("localhost:8443", "localhost:" .. box.port)
        assert.equal(1, count)
        script, count = script:gsub("/tmp/zenlayer/ca%.pem", (box.ca_file:gsub("%%", "%%%%")))
        assert.equal(1, count)
        if not every_lua.blocks then
            script = script:gsub(" <close>", "")
        end
        local output, status = process.run_lua(script, {
            https_proxy = false, HTTPS_PROXY = false, all_proxy = false, ALL_PROXY = false,
        })
        assert.equal(0, status, output)
        local requests = box:requests()
        local request_id, rest = output:match "^([^\n]+)\n(.*)$"
        assert.equal(requests[1].request_id, request_id)
        local lines = {}
        for line in rest:gmatch "([^\n]*)\n" do
            lines[#lines + 1] = line
        end
        table.sort(lines)
        assert.same({ "ins-0001\tSTOPPED", "ins-0002\tSTOPPED" }, lines)
        assert.same({ "StopInstances", "DescribeInstancesStatus" },
            { requests[1].action, requests[2].action })
        assert.same({ { 2, false } }, stops())
    end)

    local pages = readme.take "client:pages("
    it("a list is gone through to its end", function()
        local other = sandbox.start { "--instances", "150", "--instance", "far-1=RUNNING,SGP-A" }
        local viewer = other:raising_client()
        local printed = run(pages, { client = viewer })
        viewer:close()
        local requests = other:requests()
        other:stop()
        assert.equal(150, #printed)
        for i, line in ipairs(printed) do
            local id, name, status = line:match "^(%S+)\t(%S+)\t(%S+)$"
            assert.equal(("ins-%04d"):format(i), id)
            assert.equal("RUNNING", status)
            assert.not_equal("nil", name)
        end
        assert.equal(2, #requests)
        for i, request in ipairs(requests) do
            assert.equal("DescribeInstances", request.action)
            assert.same({ zoneId = "HKG-A", pageSize = 100, pageNum = i }, request.params)
        end
    end)

    local waiting = readme.take "wait = true })"
    it("there are three ways to wait", function()
        -- Each stands for itself; the second needs instances that are stopping already.
        local stopped, others = box:ids(101), box:ids(3)
        local given = { stopped, stopped, others }
        local globals = setmetatable({ client = client }, { __index = function(_, name)
            return name == "ids" and table.remove(given, 1) or nil
        end })
        local printed = run(waiting, globals)
        assert.equal(0, #given)
        assert.same({ { 100, false }, { 1, false }, { 3, false } }, stops())
        assert.equal("3\t0\t0", printed[#printed])
        local looks = 0
        for _, request in ipairs(box:requests()) do
            looks = looks + (request.action == "DescribeInstancesStatus" and 1 or 0)
        end
        assert.is_true(looks >= 5) -- of two batches, twice, and of one
    end)

    local jobs = readme.take "local job = client:submit"
    it("a job is polled to its end", function()
        local ids = box:ids(250)
        local _, request_ids, batches = run(jobs, { client = client, ids = ids },
            "request_ids, batches")
        local requests = box:requests()
        assert.same({ { 100, false }, { 100, false }, { 50, false } }, stops())
        for i, request in ipairs(requests) do
            assert.equal(request.request_id, request_ids[i])
            assert.same(request.params.instanceIds, batches[i].instance_ids)
        end
        assert.equal(3, #request_ids)
    end)

    local dry_run = readme.take "client:prepare_stop_instances("
    it("a dry run shows the request, and sends nothing", function()
        for _ = 1, 2 do -- the second needs the place that the first gives back
            assert.same({
                "send\tPOST\t" .. box.endpoint .. "/api/v2/vm",
                'StopInstances\t{"forceShutdown":false,"instanceIds":["ins-0001","ins-0002"]}',
            }, (run(dry_run, { client = client })))
        end
        assert.same({ {}, {} }, { box:requests(), box:connections() })
    end)

    local credentials = readme.take "credentials = function()"
    it("a vault gives the keys", function()
        local asked = 0
        local _, made = run(credentials, {
            zenlayer = { new = function(options)
                return zenlayer.new(box:options(options))
            end },
            read_from_vault = function()
                asked = asked + 1
                return { id = box.KEY_ID, secret = box.PASSWORD, expires = os.time() + 3600 }
            end,
        }, "client")
        every_lua.closing(made)
        assert.equal(0, asked)
        made:stop_instances(box:ids(1))
        made:stop_instances(box:ids(1))
        assert.equal(1, asked)
        assert.same({ { 1 }, { 1 } }, stops())
        assert.is_true(box:requests()[1].verified)
    end)

    local errors = readme.take "zenlayer.is_error(err)"
    it("an error tells of every batch", function()
        local written = {}
        local globals = {
            client = client, zenlayer = zenlayer,
            io = { stderr = { write = function(_, ...)
                written[#written + 1] = table.concat { ... }
            end } },
        }
        globals.ids = box:ids(101)
        assert.same({}, run(errors, globals))
        assert.same({}, written)

        globals.ids = box:ids(100)
        globals.ids[101] = "missing-101"
        box:mark()
        local printed = run(errors, globals)
        local requests = box:requests()
        assert.same({
            "accepted\t100\t" .. requests[1].request_id, "rejected\t1\t" .. requests[2].request_id,
        }, printed)
        assert.equal(1, #written)
        assert.is_truthy(written[1]:find "^zenlayer: INVALID_INSTANCE_NOT_FOUND: [^\n]+\n$")
    end)

    it("there is no other block of Lua", function()
        assert.same({}, readme.untaken "lua")
    end)
end)
