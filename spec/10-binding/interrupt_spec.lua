-- Ctrl-C in the stock interpreter during a blocking call.
local process = require "process"
local sandbox = require "binding_sandbox"

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

local WITHIN = 3 * process.slowness

describe("Ctrl-C", function()
    local box, directory

    setup(function()
        box = sandbox.start()
        directory = process.temporary_directory()
        box:behave {
            { fault = "stall", seconds = 120, action = "Stalled" },
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

    -- Run a script, and send it SIGINT once a request for `action` has arrived. Its output, its
    -- exit status, and the seconds from the signal to its end.
    local function interrupted(module, body, action)
        local before = arrived(action)
        local script, pid_file = directory .. "/script.lua", directory .. "/pid"
        process.write(script, HEAD .. body)
        local shell = ("echo $$ >%s; exec %s"):format(pid_file, process.command {
            process.lua, script, box.endpoint, module,
        })
        local pipe = assert(io.popen("exec " .. process.command { "sh", "-c", shell }
            .. " 2>&1 </dev/null"))
        process.await(function()
            return arrived(action) > before
        end, "the request")
        local began = process.now()
        assert(process.signal(tonumber(process.read(pid_file)), "INT"))
        local output = pipe:read "a"
        local seconds = process.now() - began
        local _, _, status = pipe:close()
        return output, status, seconds
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
                local output, status = interrupted(module, [[
                    local thread = coroutine.create(function()
                        local ok, err = pcall(stalled)
                        print(ok, tostring(err):match "interrupted!$", debug.gethook())
                        return client:call("Echo", { a = 2 })
                    end)
                    local _, response = coroutine.resume(thread)
                    print(response.params.a, coroutine.status(thread), debug.gethook())
                ]], "Stalled")
                assert.equal(0, status, output)
                assert.equal("false\tinterrupted!\n2\tdead\n", (output:gsub("\tnil", "")))
            end)

            it("can be caught around a coroutine", function()
                local output, status = interrupted(module, [[
                    local thread = coroutine.create(stalled)
                    local ok, err = coroutine.resume(thread)
                    print(ok, tostring(err):match "interrupted!$", coroutine.status(thread))
                    print(client:call("Echo", { a = 3 }).params.a, debug.gethook())
                ]], "Stalled")
                assert.equal(0, status, output)
                assert.equal("false\tinterrupted!\tdead\n3\n", (output:gsub("\tnil", "")))
            end)
        end)
    end

    it("ends the pause before another attempt", function()
        local output, status, seconds = interrupted("zenlayer", [[
            local patient <close> = new { max_attempts = 100, deadline = 600 }
            local ok, err = pcall(patient.call, patient, "Broken", {}, { idempotent = true })
            print(ok, tostring(err):match "interrupted!$")
        ]], "Broken")
        assert(seconds < WITHIN, "it took " .. seconds .. " s")
        assert.equal(0, status, output)
        assert.equal("false\tinterrupted!\n", output)
    end)

    it("closes a client at the end of its block", function()
        local output, status = interrupted("zenlayer", [[
            local seen
            pcall(function()
                local own <close> = new()
                seen = own
                own:call "Stalled"
            end)
            print(tostring(seen))
        ]], "Stalled")
        assert.equal(0, status, output)
        assert.equal("zenlayer.client (closed)\n", output)
    end)
end)
