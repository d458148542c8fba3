-- Scripts that mean harm (mischief.lua): what comes is an error of the module's, what the script
-- raised itself, or a result, and never a crash. ZENLAYER_TEST_SEED=n runs seed n alone.
local process = require "process"
local sandbox = require "binding_sandbox"

local MISCHIEF = process.read "spec/support/mischief.lua"
local SEEDS = process.rounds(8, 3)
local ROUNDS = process.slowness > 1 and 150 or 400

describe("a hostile script", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)

    local only = math.tointeger(tonumber(os.getenv "ZENLAYER_TEST_SEED"))
    for seed = only or 1, only or SEEDS do
        it("with seed " .. seed, function()
            local output, status = process.run_lua(MISCHIEF, {}, box.endpoint, seed, ROUNDS)
            assert.equal(0, status, ("ZENLAYER_TEST_SEED=%d: %s"):format(seed, output))
            local told = {}
            for times, what in output:gmatch "(%d+) ([%l ]+)\n" do
                told[what] = tonumber(times)
            end
            for _, what in ipairs { "results", "errors of the module" } do
                assert.is_true((told[what] or 0) > 50, output)
            end
            assert.is_true((told.traps or 0) > 0, output) -- what bit, or was called
        end)
    end

    local HEAD = [[
        local zenlayer = require "zenlayer"
        local client = zenlayer.new {
            access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password",
            endpoint = arg[1],
        }
    ]]

    local function run(body)
        local output, status = process.run_lua(HEAD .. body, {}, box.endpoint)
        assert.equal(0, status, output)
        return output
    end

    it("that finalizes by hand what is none of that kind", function()
        assert.equal("well\n", run [[
            local job = client:submit_call "Echo"
            local op = client:prepare "Echo"
            local odd = { io.stdout, client, 1, "x", true, {}, print, zenlayer.null }
            for _, object in ipairs { job, op } do
                local finalize = debug.getmetatable(object).__gc
                for _, value in ipairs(odd) do
                    pcall(finalize, value)
                end
                pcall(finalize)
            end
            pcall(debug.getmetatable(job).__gc, op)
            pcall(debug.getmetatable(op).__gc, job)
            assert(op:step() == "send")
            assert(job:wait() and job:result().params)
            print "well"
        ]])
    end)

    it("that finalizes by hand what is in use", function()
        assert.equal("well\n", run [[
            local job
            job = client:submit_wait_until_stopped({ "id-1" }, {
                wait_timeout = 5, wait_min_delay = 0.01, wait_max_delay = 0.02,
                on_progress = function()
                    debug.getmetatable(job).__gc(job)
                end,
            })
            local ok, err = pcall(job.wait, job)
            assert(not ok and zenlayer.is_error(err) and err.where == "self", tostring(err))
            assert(client:poll(0) == 0)
            local op
            local own = zenlayer.new {
                endpoint = arg[1],
                credentials = function()
                    debug.getmetatable(op).__gc(op)
                    return { token = "sandbox-token" }
                end,
            }
            op = own:prepare "Echo"
            ok, err = pcall(op.step, op)
            assert(not ok and zenlayer.is_error(err) and err.where == "self", tostring(err))
            assert(client:call("Echo", { n = 1 }).params.n == 1)
            print "well"
        ]])
    end)

    it("whose finalizers use an operation in the midst of its step", function()
        assert.equal("well\n", run [[
            local finalizer = require "every_lua".finalizer
            -- A whole collection at hardly any allocation. (5.4 keeps a multiplier in a byte.)
            collectgarbage("incremental", 1, _VERSION == "Lua 5.4" and 1000 or 1000000, 5)
            local refused, ids = 0, {}
            for i = 1, 60 do
                ids[i] = ("i"):rep(40) .. i
            end
            for nth = 1, 60 do
                local op = client:prepare_stop_instances(ids)
                local inside, count, is_over = false, 0, false
                local function meddle()
                    count = count + (inside and 1 or 0)
                    if count == nth then
                        local _, err =
                            pcall(op.reply, op, 1, 200, nil, '{"requestId":"T","response":{}}')
                        refused = refused + (tostring(err):find "midst" and 1 or 0)
                        pcall(op.failed, op, 1, "x", false)
                        pcall(op.cancel, op)
                        pcall(op.result, op)
                        collectgarbage()
                    end
                    if not is_over then
                        finalizer(meddle)
                    end
                end
                collectgarbage()
                finalizer(meddle)
                local method = nth % 2 == 0 and op.step or op.step_http
                inside = true
                local ok, kind, n, request = pcall(method, op)
                inside = false
                if ok and kind == "send" then
                    local body = type(request) == "table" and request.body or request
                    assert(n == 1 and body:find(ids[1], 1, true) and body:find(ids[60], 1, true))
                    inside = true
                    local headers = {}
                    for i = 1, 20 do
                        headers["h" .. i] = i + 0.5
                    end
                    pcall(op.reply, op, n, 500, headers, "{}")
                end
                is_over = true
                op:cancel()
                pcall(op.result, op)
            end
            assert(type(getmetatable(client:prepare "Echo")) == "string")
            assert(type(getmetatable(client:submit_call "Echo")) == "string")
            assert(refused > 0)
            print "well"
        ]])
    end)

    it("with a hundred thousand ids, and ids of a megabyte", function()
        assert.equal("well\n", run [[
            local ids = {}
            for i = 1, 100000 do
                ids[i] = "id-" .. i
            end
            local job = client:submit_stop_instances(ids)
            client:poll(0)
            assert(job:cancel())
            local ok, err = pcall(job.result, job)
            assert(not ok and zenlayer.is_error(err) and #err.batches == 1000)
            local long = ("x"):rep(1024 * 1024)
            ok, err = pcall(client.stop_instances, client, { long, long .. "y" })
            assert(ok or zenlayer.is_error(err), tostring(err))
            for _, id in ipairs { "a\0b", "\255", "", 1, true, {}, print } do
                ok, err = pcall(client.stop_instances, client, { "id-1", id })
                assert(not ok and err.where == "instance_ids[2]", tostring(err))
            end
            print "well"
        ]])
    end)
end)
