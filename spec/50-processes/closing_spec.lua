-- A script that ends with jobs under way ends well: nothing is lost, nothing crashes. Under `make
-- asan` its leaks are looked for, under `make memcheck` it runs in valgrind.
local cjson = require "cjson"
local process = require "process"
local sandbox = require "sandbox"

local HEAD = [[
local cjson = require "cjson"
local client = require "zenlayer".new(cjson.decode(arg[1]))
local ids = {}
for i = 1, 250 do
    ids[i] = "id-" .. i
end
-- Some are under way, some have an answer that nobody has taken, some wait for room.
local jobs = {
    client:submit_stop_instances(ids, { force_shutdown = false }), client:submit_call("Stalled"),
    client:submit_wait_until_stopped(ids), client:submit_call("Echo", { a = { 1, 2 } }),
}
for i = 5, 40 do
    jobs[i] = client:submit_call("Echo", { n = i })
end
for _ = 1, tonumber(arg[2]) do
    client:poll(0.02)
end
]]

describe("a script with jobs under way", function()
    local box

    setup(function()
        box = sandbox.start()
        box:faults { { fault = "stall", seconds = 600, action = "Stalled" } }
    end)
    teardown(function()
        box:stop()
    end)

    local function run(body, turns)
        local script = box.directory .. "/script.lua"
        local words = { process.lua, script, cjson.encode(box:options()), turns }
        local wrap = os.getenv "ZENLAYER_TEST_WRAP"
        process.write(script, HEAD .. body)
        local output, status = process.run {
            "sh", "-c", ("exec %s %s"):format(wrap or "", process.command(words)),
        }
        return output, status
    end

    for _, turns in ipairs { 0, 2, 8 } do
        describe(("after %d turns"):format(turns), function()
            it("ends", function()
                assert.same({ "", 0 }, { run("", turns) })
            end)

            it("ends by os.exit, which closes the state", function()
                assert.same({ "", 0 }, { run("os.exit(0, true)", turns) })
            end)

            it("ends by os.exit in a coroutine", function()
                local body = "coroutine.wrap(function() os.exit(0, true) end)()"
                assert.same({ "", 0 }, { run(body, turns) })
            end)

            it("ends by an error", function()
                local output, status = run("error 'the end'", turns)
                assert.equal(1, status, output)
                assert.is_truthy(output:find("the end", 1, true), output)
                assert.is_nil(output:find("Sanitizer", 1, true), output)
            end)

            it("forgets the client before its jobs, and the jobs before the client", function()
                assert.same({ "", 0 }, { run([[
                    client = nil
                    collectgarbage()
                    collectgarbage()
                    jobs = nil
                    collectgarbage()
                ]], turns) })
                assert.same({ "", 0 }, { run([[
                    jobs = nil
                    collectgarbage()
                    collectgarbage()
                    client:poll(0.01)
                    client = nil
                    collectgarbage()
                ]], turns) })
            end)

            it("keeps the job of a client that is closed", function()
                assert.same({ "", 0 }, { run([[
                    client:close()
                    for _, job in ipairs(jobs) do
                        assert(job:done())
                        pcall(job.result, job)
                    end
                    os.exit(0, true)
                ]], turns) })
            end)
        end)
    end
end)
