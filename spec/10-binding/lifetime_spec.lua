-- The life of clients: closing, collecting, failing to begin; and that of the module.
local errors = require "binding_errors"
local every_lua = require "every_lua"
local lfs = require "lfs"
local process = require "process"
local safe = require "zenlayer.safe"
local sandbox = require "binding_sandbox"
local zenlayer = require "zenlayer"

local function count_files()
    local count = 0
    for _ in lfs.dir "/proc/self/fd" do
        count = count + 1
    end
    return count
end

local function collect()
    collectgarbage()
    collectgarbage()
end

local CLOSED = "zenlayer.client (closed)"

describe("a client", function()
    local box

    setup(function()
        box = sandbox.start()
    end)

    teardown(function()
        box:stop()
    end)

    it("is collected when nobody holds it, used or not", function()
        for _, module in ipairs { zenlayer, safe } do
            local held = setmetatable({}, { __mode = "k" })
            local function make()
                for i = 1, 10 do
                    local client = box:client(module)
                    held[client] = true
                    if i % 2 == 0 then
                        client:call "Echo"
                    end
                    if i % 3 == 0 then
                        client:close()
                    end
                end
            end
            make()
            collect()
            assert.is_nil(next(held))
        end
    end)

    it("is not kept by its own jobs, results or errors", function()
        local held = setmetatable({}, { __mode = "k" })
        local function make()
            local client = box:client(safe)
            held[client] = true
            local _, batches = client:stop_instances { "a" }
            local _, err = client:stop_instances { "missing-b" }
            return batches, err
        end
        local batches, err = make()
        collect()
        assert.is_nil(next(held))
        assert.equal("accepted", batches[1].outcome)
        assert.equal("rejected", err.batches[1].outcome)
    end)

    it("takes no file with it: not closed, not collected, not failed", function()
        local function round(i)
            zenlayer.new(errors.options()):close()
            safe.new(errors.options { timeout = i % 2 })
            if i % 50 == 0 then
                local client = box:client(safe)
                client:call "Echo"
                client:close()
            end
        end
        round(50)
        collect()
        local before = count_files()
        for i = 1, 1000 do
            round(i)
        end
        collect()
        assert.equal(before, count_files())
        for i = 1, 100 do -- to be collected, open
            local client = safe.new(errors.options())
            if i % 20 == 0 then
                client:connect()
                box:client(safe):call "Echo"
            end
        end
        collect()
        assert.equal(before, count_files())
    end)

    it("that could not be made harms nothing", function()
        local bad = { { endpoint = "x" }, { service = "x" }, { timeout = 0 }, { token = "x" },
            { ca_file = "/nonexistent" }, { proxy = 1 }, { connect_to = ":" }, { unknown = 1 },
            { max_response_bytes = -1 }, { access_key_id = ("x"):rep(1000) } }
        for _ = 1, 30 do
            for _, options in ipairs(bad) do
                assert.is_false(pcall(zenlayer.new, errors.options(options)))
                assert.is_nil((safe.new(errors.options(options))))
            end
            collect()
        end
    end)

    -- Only 5.4 can read `<close>`. Elsewhere its metamethod is there too, and is called by hand.
    local function in_block(text, ...)
        local block, message = load("local module, options, seen, problem = ...\n" .. text)
        if every_lua.blocks then
            return assert(block, message)(...)
        end
        assert.is_nil(block)
        local module, options, seen, problem = ...
        local client = module.new(options)
        seen[#seen + 1] = client
        local ok, err = true, nil
        if problem then
            ok, err = pcall(problem, client)
        end
        getmetatable(client).__close(client, err)
        if not ok then
            error(err, 0)
        end
        return client
    end

    it("is closed at the end of its block", function()
        local seen = {}
        in_block([[
            do
                local client <close> = module.new(options)
                seen[1] = client
                assert(tostring(client) ~= "zenlayer.client (closed)")
            end
        ]], zenlayer, errors.options(), seen)
        assert.equal(CLOSED, tostring(seen[1]))
    end)

    it("is closed by an error in its block, which goes on as it is", function()
        local seen = {}
        local mine = {}
        local text = [[
            local client <close> = module.new(options)
            seen[#seen + 1] = client
            problem(client)
        ]]
        local ok, err = pcall(in_block, text, zenlayer, errors.options(), seen, function()
            error(mine)
        end)
        assert.is_false(ok)
        assert.equal(mine, err)
        assert.equal(CLOSED, tostring(seen[1]))

        ok, err = pcall(in_block, text, zenlayer, errors.options(), seen, function(client)
            client:call ""
        end)
        assert.is_false(ok)
        assert.equal("action", err.where)
        assert.equal(CLOSED, tostring(seen[2]))
    end)

    it("is closed by break, return and a coroutine's end", function()
        local seen = {}
        for _, module in ipairs { zenlayer, safe } do
            in_block([[
                local client <close> = module.new(options)
                seen[#seen + 1] = client
                return client
            ]], module, errors.options(), seen)
            in_block([[
                for i = 1, 2 do
                    local client <close> = module.new(options)
                    seen[#seen + 1] = client
                    if i == 1 then
                        break
                    end
                end
            ]], module, errors.options(), seen)
            in_block([[
                local thread = coroutine.create(function()
                    local client <close> = module.new(options)
                    seen[#seen + 1] = client
                    coroutine.yield()
                end)
                coroutine.resume(thread)
                coroutine.close(thread)
            ]], module, errors.options(), seen)
        end
        assert.equal(6, #seen)
        for _, client in ipairs(seen) do
            assert.equal(CLOSED, tostring(client))
        end
    end)

    it("may be closed within its own call, by a hook", function()
        for _, module in ipairs { zenlayer, safe } do
            for nth = 2, 30 do
                local client = box:client(module)
                local count = 0
                local ok, result, err = pcall(function()
                    debug.sethook(function()
                        count = count + 1
                        if count == nth then
                            debug.sethook()
                            client:close()
                        end
                    end, "c")
                    return client:call("Echo", { a = 1 })
                end)
                debug.sethook()
                if not (ok and result) then
                    local problem = not ok and result or err
                    assert.is_true(zenlayer.is_error(problem), tostring(problem))
                    assert(problem.code == "CLIENT_CLOSED" or problem.code == "CANCELLED",
                        tostring(problem))
                end
                client:close()
            end
        end
    end)

    it("works in any coroutine, and in many", function()
        local client = box:client(safe)
        local threads = {}
        for i = 1, 50 do
            threads[i] = coroutine.create(function()
                local own = box:client(safe)
                coroutine.yield()
                local response, err = (i % 2 == 0 and own or client):call("Echo", { i = i })
                assert(response, tostring(err))
                coroutine.yield(response.params.i)
                own:close()
                return "done"
            end)
        end
        for _, thread in ipairs(threads) do
            assert(coroutine.resume(thread))
        end
        for i, thread in ipairs(threads) do
            local _, number = assert(coroutine.resume(thread))
            assert.equal(i, number)
        end
        for i, thread in ipairs(threads) do
            if i % 2 == 0 then
                local _, word = assert(coroutine.resume(thread))
                assert.equal("done", word)
            end
        end
        threads = nil -- half of them not at their end
        collect()
        assert.is_nil(threads)
        assert.is_table(client:call "Echo")
        client:close()
    end)
end)

describe("the end of a state", function()
    local box

    setup(function()
        box = sandbox.start()
    end)

    teardown(function()
        box:stop()
    end)

    local HEAD = [[
        local every_lua = require "every_lua"
        local zenlayer, safe = require "zenlayer", require "zenlayer.safe"
        local function new(module)
            return module.new {
                access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password",
                endpoint = arg[1], max_attempts = 1,
            }
        end
    ]]

    -- `<close>` is left out where Lua has none: the client is open at the end then.
    local function run(body)
        if not every_lua.blocks then
            body = body:gsub(" <close>", "")
        end
        return process.run_lua(HEAD .. body, {}, box.endpoint)
    end

    it("closes what is open: used and unused, global, local and in a coroutine", function()
        local output, status = run [[
            a, b = new(zenlayer), new(safe)
            assert(a:call "Echo")
            local c <close> = new(safe)
            assert(c:call "Echo")
            d = coroutine.wrap(function()
                local e <close> = new(safe)
                assert(e:call "Echo")
                coroutine.yield()
            end)
            d()
            print "end"
        ]]
        assert.equal(0, status, output)
        assert.equal("end\n", output)
    end)

    it("is well after errors, os.exit and more", function()
        for body, expected in pairs {
            ["a = new(safe) a:call 'Echo' os.exit(7, true)"] = 7,
            ["a = new(safe) a:call 'Echo' os.exit(7, false)"] = 7,
            ["a = new(safe) a:call 'Echo' error 'mine'"] = 1,
            ["a = new(zenlayer) a:call 'Echo' a:call ''"] = 1,
            ["local a <close> = new(safe) a:call 'Echo' os.exit(0, true)"] = 0,
            ["a = new(safe) package.loaded['zenlayer'], package.loaded['zenlayer.safe'] = nil, nil "
                .. "zenlayer, safe = nil, nil collectgarbage() assert(a:call 'Echo')"] = 0,
            ["for i = 1, 1000 do safe.new { timeout = 0 } end"] = 0,
        } do
            local output, status = run(body)
            assert.equal(expected, status, body .. ": " .. output)
        end
    end)

    it("may use the module in finalizers, even of what is closed already", function()
        local output, status = run [[
            local a = new(safe)
            assert(a:call "Echo")
            finalizer = every_lua.finalizer(function()
                local response, err = a:call "Echo"
                assert(response or err.code == "CLIENT_CLOSED")
                assert(tostring(a):find "zenlayer.client")
                a:close()
                local b = new(safe)
                assert(b:call "Echo")
                b:close() -- Lua runs no finalizer of what is made while a state ends
                io.write "finalized\n"
            end)
        ]]
        assert.equal(0, status, output)
        assert.equal("finalized\n", output)
    end)
end)

describe("the module", function()
    it("is the same when it is required again", function()
        assert.equal(zenlayer, require "zenlayer")
        assert.equal(safe, require "zenlayer.safe")
    end)

    it("has the same names in both forms", function()
        local names = {}
        for name in pairs(zenlayer) do
            names[#names + 1] = name
        end
        table.sort(names)
        assert.same({ "_VERSION", "empty_array", "is_error", "new", "null", "sign", "versions" },
            names)
        for name, value in pairs(zenlayer) do
            assert.equal(type(value), type(safe[name]))
        end
        for name in pairs(safe) do
            assert.is_not_nil(zenlayer[name])
        end
        assert.equal(zenlayer.null, safe.null)
        assert.equal(zenlayer.empty_array, safe.empty_array)
        assert.equal(zenlayer._VERSION, safe._VERSION)
        assert.is_truthy(zenlayer._VERSION:find "^%d+%.%d+%.%d+$")
    end)

    it("knows its own values after it was loaded a second time", function()
        local again, again_safe
        local loaded = package.loaded
        loaded["zenlayer"], loaded["zenlayer.safe"] = nil, nil
        again, again_safe = require "zenlayer", require "zenlayer.safe"
        loaded["zenlayer"], loaded["zenlayer.safe"] = zenlayer, safe
        assert.are_not.equal(zenlayer, again)
        assert.equal(zenlayer.null, again.null)
        assert.equal(zenlayer.empty_array, again_safe.empty_array)
        local _, err = again_safe.new { timeout = 0 }
        assert.is_true(zenlayer.is_error(err))
        _, err = safe.new { timeout = 0 }
        assert.is_true(again.is_error(err))
        local client = again.new(errors.options())
        assert.equal(errors.NOWHERE, tostring(client):match "%((.*)%)")
        client:close()
    end)

    it("tells its versions", function()
        for _, module in ipairs { zenlayer, safe } do
            local versions = module.versions()
            assert.equal(zenlayer._VERSION, versions.zenlayer)
            assert.equal(_VERSION, versions.lua)
            assert.equal(require "cjson"._VERSION, versions.cjson)
            assert.is_truthy(versions.libcurl:find "^%d+%.%d+%.%d+")
            assert.is_truthy(versions.openssl:find "^3%.")
            assert.are_not.equal(versions, module.versions())
        end
    end)

    it("leaves no global, and no string method", function()
        local output, status = process.run_lua [[
            local before, methods = {}, {}
            for name in pairs(_G) do before[name] = true end
            for name in pairs(string) do methods[name] = true end
            require "zenlayer"
            require "zenlayer.safe"
            for name in pairs(_G) do assert(before[name], name) end
            for name in pairs(string) do assert(methods[name], name) end
        ]]
        assert.equal(0, status, output)
    end)
end)
