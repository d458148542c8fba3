-- Ctrl-C in the stock interpreter during a blocking call.
local every_lua = require "every_lua"
local late = require "late"
local process = require "process"
local sandbox = require "binding_sandbox"
local server = require "server"

local HEAD = [[
    local module = require(arg[2])
    local function new(options)
        local all = {
            access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password",
            endpoint = arg[1], max_attempts = 1, timeout = 60, deadline = 60,
        }
        for name, value in pairs(options or {}) do
            all[name] = value
        end
        return module.new(all)
    end
    local client = new()
    local function stalled()
        return client:call("Stalled")
    end
]]

local WITHIN = 0.5 * process.slowness -- until the interpreter has ended, or gone on

describe("Ctrl-C", function()
    local box, directory

    setup(function()
        box = sandbox.start()
        directory = process.temporary_directory()
        box:behave {
            { fault = "stall", seconds = 120, action = "Stalled" },
            { fault = "stall", seconds = 120, action = "DescribeStalled" },
            { fault = "status", status = 503, action = "Broken" },
        }
    end)

    teardown(function()
        process.remove(directory)
        box:stop()
    end)

    local function arrived(action)
        local count = 0
        for _, request in ipairs(box:requests()) do
            count = count + (request.action == action and 1 or 0)
        end
        return count
    end

    -- Run a script, and send it SIGINT once look() is true. Its output, its exit status, and the
    -- seconds from the signal to its end.
    local function interrupted_when(look, module, body, endpoint)
        local script, pid_file = directory .. "/script.lua", directory .. "/pid"
        process.write(script, HEAD .. body)
        local shell = ("echo $$ >%s; exec %s"):format(pid_file, process.command {
            process.lua, script, endpoint or box.endpoint, module,
        })
        local pipe = process.open("exec " .. process.command { "sh", "-c", shell } .. " 2>&1")
        process.await(look, "the request")
        local began = process.now()
        assert(process.signal(tonumber(process.read(pid_file)), "INT"))
        local output, status = process.finish(pipe)
        return output, status, process.now() - began
    end

    -- The same, once a request for `action` has arrived.
    local function interrupted(module, body, action)
        local before = arrived(action)
        return interrupted_when(function()
            return arrived(action) > before
        end, module, body)
    end

    -- In a coroutine of plain 5.1 nothing is seen of it before the wait has ended by itself, which
    -- it does within a second here; the script ends right after the coroutine.
    local function assert_outlasted(module, wait, endpoint, look)
        local output, status, seconds = interrupted_when(look, module, ([[
            client = new {
                timeout = 1, connect_timeout = 1, proxy = arg[1]:find "^https" and false,
            }
            local thread = coroutine.create(function()
                pcall(function() %s end)
                io.write "the wait has ended\n"
            end)
            coroutine.resume(thread)
            print "not reached"
        ]]):format(wait), endpoint)
        assert(seconds > 0.3 and seconds < 1 + WITHIN, "it took " .. seconds .. " s")
        assert.equal(1, status)
        assert.is_truthy(output:find("the wait has ended\n", 1, true), output)
        assert.is_truthy(output:find("interrupted!", 1, true), output)
        assert.is_nil(output:find("not reached", 1, true))
    end

    local function assert_outlasted_call(module, wait)
        local before = arrived "Stalled"
        assert_outlasted(module, wait, nil, function()
            return arrived "Stalled" > before
        end)
    end

    for _, module in ipairs { "zenlayer", "zenlayer.safe" } do
        describe("in a call of " .. module, function()
            it("ends the script, which says so", function()
                local output, status, seconds = interrupted(module, [[
                    stalled()
                    print "not reached"
                ]], "Stalled")
                assert(seconds < WITHIN, "it took " .. seconds .. " s")
                assert.equal(1, status)
                assert.is_truthy(output:find("interrupted!", 1, true), output)
                assert.is_nil(output:find("not reached", 1, true))
            end)

            it("ends the script out of a coroutine", function()
                if not every_lua.interrupts_coroutines then
                    return assert_outlasted_call(module, "coroutine.wrap(stalled)()")
                end
                local output, status, seconds = interrupted(module, [[
                    local inner = coroutine.wrap(function()
                        coroutine.wrap(stalled)()
                        print "not reached"
                    end)
                    inner()
                    print "not reached"
                ]], "Stalled")
                assert(seconds < WITHIN, "it took " .. seconds .. " s")
                assert.equal(1, status)
                assert.is_truthy(output:find("interrupted!", 1, true), output)
                assert.is_nil(output:find("not reached", 1, true))
            end)

            it("can be caught, and the client used and closed after it", function()
                local output, status, seconds = interrupted(module, [[
                    local ok, err = pcall(stalled)
                    print(ok, tostring(err):match "interrupted!$")
                    local response = client:call("Echo", { a = 1 })
                    print(response.params.a)
                    client:close()
                    print(tostring(client))
                ]], "Stalled")
                assert(seconds < WITHIN, "it took " .. seconds .. " s")
                assert.equal(0, status, output)
                assert.equal("false\tinterrupted!\n1\nzenlayer.client (closed)\n", output)
            end)

            it("can be caught in a coroutine", function()
                if not every_lua.interrupts_coroutines then
                    return assert_outlasted_call(module, "pcall(stalled)")
                end
                local output, status = interrupted(module, [[
                    local thread = coroutine.create(function()
                        local ok, err = pcall(stalled)
                        print(ok, tostring(err):match "interrupted!$", (debug.gethook()))
                        return client:call("Echo", { a = 2 })
                    end)
                    local _, response = coroutine.resume(thread)
                    print(response.params.a, coroutine.status(thread), (debug.gethook()))
                ]], "Stalled")
                assert.equal(0, status, output)
                assert.equal("false\tinterrupted!\n2\tdead\n", (output:gsub("\tnil", "")))
            end)

            it("can be caught around a coroutine", function()
                if not every_lua.interrupts_coroutines then
                    return assert_outlasted_call(module, "stalled()")
                end
                local output, status = interrupted(module, [[
                    local thread = coroutine.create(stalled)
                    local ok, err = coroutine.resume(thread)
                    print(ok, tostring(err):match "interrupted!$", coroutine.status(thread))
                    print(client:call("Echo", { a = 3 }).params.a, (debug.gethook()))
                ]], "Stalled")
                assert.equal(0, status, output)
                assert.equal("false\tinterrupted!\tdead\n3\n", (output:gsub("\tnil", "")))
            end)

            it("is raised out of a page, which ends the iterator", function()
                local output, status, seconds = interrupted(module, [[
                    local next_page = client:pages "DescribeStalled"
                    local ok, err = pcall(next_page)
                    print(ok, tostring(err):match "interrupted!$")
                    print(next_page())
                ]], "DescribeStalled")
                assert(seconds < WITHIN, "it took " .. seconds .. " s")
                assert.equal(0, status, output)
                assert.equal("false\tinterrupted!\nnil\n", output)
            end)
        end)
    end

    it("ends the pause before another attempt", function()
        local output, status, seconds = interrupted("zenlayer", [[
            local patient = new { max_attempts = 100, deadline = 600 }
            local ok, err = pcall(patient.call, patient, "Broken", {}, { idempotent = true })
            print(ok, tostring(err):match "interrupted!$")
        ]], "Broken")
        assert(seconds < WITHIN, "it took " .. seconds .. " s")
        assert.equal(0, status, output)
        assert.equal("false\tinterrupted!\n", output)
    end)

    for _, how in ipairs { "job:wait()", "job:wait(60)", "while client:poll(60) > 0 do end" } do
        for _, where in ipairs { "", " in a coroutine" } do
            it("ends " .. how .. where .. ", and the job goes on", function()
                if where ~= "" and not every_lua.interrupts_coroutines then
                    return assert_outlasted_call("zenlayer",
                        "local job = client:submit_call 'Stalled' " .. how)
                end
                local output, status, seconds = interrupted("zenlayer", ([[
                    local job = client:submit_call "Stalled"
                    local function wait()
                        %s
                    end
                    local ok, err
                    if %s then
                        ok, err = coroutine.resume(coroutine.create(wait))
                    else
                        ok, err = pcall(wait)
                    end
                    print(ok, tostring(err):match "interrupted!$", job:done(), (debug.gethook()))
                    print(client:call("Echo", { a = 1 }).params.a, #client:sockets())
                    print(job:cancel(), client:poll())
                    client:close()
                ]]):format(how, tostring(where ~= "")), "Stalled")
                assert(seconds < WITHIN, "it took " .. seconds .. " s")
                assert.equal(0, status, output)
                assert.equal("false\tinterrupted!\tfalse\n1\t1\ntrue\t0\n",
                    (output:gsub("\tnil", "")))
            end)
        end
    end

    for _, where in ipairs { "", " in a coroutine" } do
        it("ends connect()" .. where, function()
            local silent = server.start "silent"
            local endpoint = "https://127.0.0.1:" .. silent.port
            local function connected()
                return #silent:events "connection" > 0
            end
            if where ~= "" and not every_lua.interrupts_coroutines then
                assert_outlasted("zenlayer", "client:connect()", endpoint, connected)
                return silent:stop()
            end
            local output, status, seconds = interrupted_when(connected, "zenlayer", ([[
                client:close()
                local ok, err
                client = new { endpoint = arg[1], proxy = false, connect_timeout = 60 }
                if %s then
                    ok, err = coroutine.resume(coroutine.create(client.connect), client)
                else
                    ok, err = pcall(client.connect, client)
                end
                print(ok, tostring(err):match "interrupted!$", (debug.gethook()))
                print(#client:sockets(), client:next_timeout(), client:poll())
                client:close()
            ]]):format(tostring(where ~= "")), endpoint)
            silent:stop()
            assert(seconds < WITHIN, "it took " .. seconds .. " s")
            assert.equal(0, status, output)
            assert.equal("false\tinterrupted!\n0\t0\n", (output:gsub("\tnil", "")))
        end)
    end

    -- The signal finds the interpreter on its way into poll(2), and does not end it.
    for _, how in ipairs {
        [[client:call "Stalled"]],
        [[client:submit_call("Stalled"):wait()]],
        [[client:submit_call("Stalled"):wait(60)]],
        [[client:submit_call "Stalled" while client:poll(60) > 0 do end]],
        [[client:poll(60)]],
    } do
        it("just before a wait ends " .. how, function()
            local began = process.now()
            local output, status = process.run_lua(HEAD .. ([[
                local now = require "system".monotime
                local began = now()
                local ok, err = pcall(function()
                    %s
                end)
                print(ok, tostring(err):match "interrupted!$")
                print(now() - began < tonumber(arg[3]))
            ]]):format(how), { LD_PRELOAD = late.compile(directory), ZENLAYER_TEST_RAISE = "1" },
                box.endpoint, "zenlayer", WITHIN)
            assert.equal(0, status, output)
            assert.equal("false\tinterrupted!\ntrue\n", output)
            assert.is_true(process.now() - began < 20 * process.slowness)
        end)
    end

    it("closes a client at the end of its block", function()
        local output, status = interrupted("zenlayer", ([[
            local seen
            local ok = pcall(function()
                local own %s = new()
                seen = own
                own:call "Stalled"
            end)
            print(ok, tostring(seen):find "%%(closed%%)" ~= nil)
        ]]):format(every_lua.blocks and "<close>" or ""), "Stalled")
        assert.equal(0, status, output)
        assert.equal(every_lua.blocks and "false\ttrue\n" or "false\tfalse\n", output)
    end)
end)
