-- credentials = function: what becomes of what it does. When it is to be called is tested on a
-- virtual clock in spec/core/test_credentials.c.
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local safe = require "zenlayer.safe"
local sandbox = require "sandbox"

describe("a credentials function", function()
    local box, calls

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        calls = 0
    end)

    local function good()
        return { access_key_id = box.KEY_ID, access_key_password = box.PASSWORD }
    end

    -- A client whose function is `f`, given how often it was called.
    local function client_of(f, options)
        local all = {
            credentials = function()
                calls = calls + 1
                return f(calls)
            end,
        }
        for name, value in pairs(options or {}) do
            all[name] = value
        end
        return closing(box:client(all))
    end

    it("is not called before something is signed, then once", function()
        local client = client_of(good)
        assert.is_true(client:connect())
        assert.equal(0, calls)
        expect.success(client:stop_instances(box:ids(250)))
        expect.success(client:call "Echo")
        assert.equal(1, calls)
        for _, request in ipairs(box:requests()) do
            assert.is_true(request.verified)
        end
    end)

    it("may give a token", function()
        local client = client_of(function()
            return { token = box.TOKEN, expires_at = os.time() + 3600 }
        end)
        expect.success(client:call "Echo")
    end)

    it("is called again when the key is refused, and the call is sent again", function()
        local client = client_of(function(n)
            return { access_key_id = box.KEY_ID,
                access_key_password = n == 1 and "an old one" or box.PASSWORD }
        end)
        local _, batches = expect.success(client:stop_instances(box:ids(150)))
        assert.equal(2, calls)
        local attempts = batches[1].attempts + batches[2].attempts
        assert.equal(2, batches[1].attempts)
        assert.equal(attempts, #box:requests()) -- 4, or 3 if the other was still to be sent
    end)

    it("that gives bad keys is not asked for ever", function()
        local client = client_of(function()
            return { access_key_id = box.KEY_ID, access_key_password = "wrong" }
        end)
        for _ = 1, 10 do
            expect.failure({ code = "AUTHFAILURE_SIGNATURE_FAILURE", outcome = "rejected" },
                client:call "Echo")
        end
        assert.is_true(calls == 2 or calls == 3, calls) -- the third a second after the second
    end)

    it("is called again before they expire", function()
        local client = client_of(function()
            local given = good()
            given.expires_at = os.time() + 2 -- so for half of that
            return given
        end)
        process.await(function()
            expect.success(client:call "Echo")
            return calls >= 3
        end, "three calls")
        assert.is_true(#box:requests() >= 3)
    end)

    it("that fails makes the call fail, with what it said", function()
        for _, case in ipairs {
            { function() error("the vault is sealed", 0) end, "CREDENTIALS_UNAVAILABLE",
                "the credentials function raised the vault is sealed", true },
            { function() error { 1 } end, "CREDENTIALS_UNAVAILABLE",
                "the credentials function raised a table", true },
            { function() return nil, "no route to the vault" end, "CREDENTIALS_UNAVAILABLE",
                "the credentials function returned nil: no route to the vault", true },
            { function() return false end, "CREDENTIALS_UNAVAILABLE",
                "the credentials function returned boolean", true },
            { function() return "key" end, "CREDENTIALS_INVALID",
                "the credentials function returned a string, expected a table", false },
            { function() return {} end, "CREDENTIALS_INVALID",
                "the credentials function returned neither a key pair nor a token", false },
            { function() return { access_key_id = "s3cr3t" } end, "CREDENTIALS_INVALID",
                "the credentials function: access_key_id without access_key_password", false },
            { function() return { token = "s3cr3t", access_key_id = "s3cr3t" } end,
                "CREDENTIALS_INVALID", "the credentials function: both an access key and a token",
                false },
            { function() return { token = 7 } end, "CREDENTIALS_INVALID",
                "the credentials function returned token: expected a non-empty string, got number",
                false },
            { function() return { token = "" } end, "CREDENTIALS_INVALID", "got an empty one",
                false },
            { function() return { token = "s3cr3t\r\nX: y" } end, "CREDENTIALS_INVALID",
                "the credentials function: CR, LF or NUL in token", false },
            { function() return { token = "s3cr3t", expiry = 1 } end, "CREDENTIALS_INVALID",
                "the credentials function returned a field 'expiry'", false },
            { function() return { token = "s3cr3t", expires_at = "soon" } end,
                "CREDENTIALS_INVALID", "expires_at: expected UNIX seconds", false },
            { function() return { "an-id", "s3cr3t" } end, "CREDENTIALS_INVALID",
                "a table without names for keys", false },
            { function() return { token = "s3cr3t", expires_at = os.time() * 1000 } end,
                "CREDENTIALS_INVALID", "expires_at: expected UNIX seconds", false },
            { function() return { token = "s3cr3t", expires_at = 0 / 0 } end,
                "CREDENTIALS_INVALID", "expires_at: expected UNIX seconds", false },
            { function() return { token = "s3cr3t", expires_at = os.time() - 1 } end,
                "CREDENTIALS_INVALID", "have expired", false },
            { coroutine.yield, "CREDENTIALS_UNAVAILABLE", "yield", true },
        } do
            calls = 0
            local err = expect.failure({
                kind = "credentials", code = case[2], outcome = "not_sent", attempts = 0,
                retryable = case[4],
            }, client_of(case[1]):stop_instances(box:ids(150)))
            assert.is_truthy(err.message:find(case[3], 1, true), err.message)
            assert.is_nil(expect.texts(err):find("s3cr3t", 1, true))
            assert.equal(150, #err.batches[1].instance_ids + #err.batches[2].instance_ids)
            assert.equal(1, calls)
        end
        assert.equal(0, #box:requests())
    end)

    it("that failed is asked again a little later", function()
        local client = client_of(function(n)
            return n > 1 and good() or nil
        end)
        expect.failure({ code = "CREDENTIALS_UNAVAILABLE" }, client:call "Echo")
        expect.failure({ code = "CREDENTIALS_UNAVAILABLE" }, client:call "Echo")
        assert.equal(1, calls)
        process.await(function()
            return client:call "Echo"
        end, "a good answer")
        assert.equal(2, calls)
    end)

    it("is called once for many jobs", function()
        local client = client_of(good)
        local jobs = {}
        for i = 1, 20 do
            jobs[i] = client:submit_call("Echo", { n = i })
        end
        while client:poll(0.1) > 0 do end
        for i, job in ipairs(jobs) do
            assert.equal(i, (expect.success(job:result())).params.n)
        end
        assert.equal(1, calls)
    end)

    it("serves operations that somebody else drives", function()
        local client = client_of(good)
        local op = client:prepare "Echo"
        local what, _, request = op:step()
        assert.equal("send", what)
        assert.is_truthy(request.headers.Authorization:find("Credential=" .. box.KEY_ID, 1, true))
        assert.equal(1, calls)
        local failing = client_of(function() end):prepare "Echo"
        assert.equal("done", (failing:step()))
        expect.failure({ code = "CREDENTIALS_UNAVAILABLE" }, failing:result())
    end)

    it("must not use its own client, and may close it", function()
        local client
        client = client_of(function()
            local result, err = client:call "Echo"
            assert.is_nil(result)
            assert.equal("CREDENTIALS_UNAVAILABLE", err.code)
            assert.is_truthy(err.message:find("its own client", 1, true))
            client:poll(0)
            return good()
        end)
        expect.success(client:call "Echo")
        client = client_of(function()
            client:close()
            return good()
        end)
        expect.failure({ code = "CANCELLED", outcome = "not_sent" }, client:call "Echo")
    end)

    it("may use another client", function()
        local inner = client_of(good)
        local client = closing(box:client {
            credentials = function()
                return inner:call "Echo" and good()
            end,
        })
        expect.success(client:call "Echo")
        client = closing(box:client {
            credentials = function()
                error((select(2, client_of(function() end):call "Echo")))
            end,
        })
        local err = expect.failure({ code = "CREDENTIALS_UNAVAILABLE" }, client:call "Echo")
        assert.is_truthy(err.message:find "returned nil")
    end)

    it("is given alone", function()
        for _, name in ipairs { "access_key_id", "access_key_password", "token" } do
            local err = expect.failure({ code = "CREDENTIALS_INVALID", kind = "credentials" },
                safe.new { credentials = good, [name] = "s3cr3t" })
            assert.is_truthy(err.message:find(name, 1, true))
        end
        expect.failure({ code = "INVALID_ARGUMENT", where = "options.credentials" },
            safe.new { credentials = {} })
    end)

    it("lets Ctrl-C through, and is asked again", function() -- busted would take it for one
        local output, status = process.run_lua([[
            local calls = 0
            local client = require "zenlayer".new {
                credentials = function()
                    calls = calls + 1
                    if calls == 1 then error("interrupted!") end
                    return { token = "t" }
                end,
            }
            print(pcall(function() return client:prepare("Echo"):step() end))
            os.execute "sleep 1.1"
            print(client:prepare("Echo"):step())
        ]], {})
        assert.equal(0, status, output)
        assert.is_truthy(output:find("^false\t.*interrupted!\nsend\t1\t"), output)
    end)
end)
