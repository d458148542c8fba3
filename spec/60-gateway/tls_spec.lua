-- Who is trusted, which name is meant, and where it is: what nginx.conf says, and connect_to.
local certificates = require "certificates"
local dns = require "dns"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

local NAME = "api.zenlayer.test"
local UNSENT = { outcome = "not_sent", retryable = false, attempts = 1 }

local function with(expected)
    local all = {}
    for name, value in pairs(UNSENT) do
        all[name] = value
    end
    for name, value in pairs(expected) do
        all[name] = value
    end
    return all
end

local function names(text, ...)
    for _, word in ipairs { ... } do
        assert(text:find(word, 1, true), word .. " is not in: " .. text)
    end
end

-- In `directory`: root.pem, and chain.pem for 127.0.0.1, which is three signatures away from it,
-- with leaf-key.pem.
local function make_chain(directory)
    local function openssl(...)
        process.check { "openssl", ... }
    end
    local function sign(name, extension, by)
        local path = directory .. "/" .. name
        process.write(path .. ".ext", extension)
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=" .. name, "-keyout", path .. "-key.pem", "-out", path .. ".csr")
        local words = {
            "x509", "-req", "-in", path .. ".csr", "-days", "30", "-extfile", path .. ".ext",
            "-out", path .. ".pem",
        }
        local signer = { "-signkey", path .. "-key.pem" }
        if by then
            signer = {
                "-CA", directory .. "/" .. by .. ".pem", "-CAkey",
                directory .. "/" .. by .. "-key.pem", "-CAcreateserial",
            }
        end
        openssl(table.unpack(table.move(signer, 1, #signer, #words + 1, words)))
    end
    local ca = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
    sign("root", ca)
    sign("middle", ca, "root")
    sign("second", ca, "middle")
    sign("leaf", "subjectAltName=DNS:127.0.0.1\n", "second")
    local chain = ""
    for _, name in ipairs { "leaf", "second", "middle" } do
        chain = chain .. process.read(directory .. "/" .. name .. ".pem")
    end
    process.write(directory .. "/chain.pem", chain)
end

describe("without trust", function()
    it("a call names the directives", function()
        local box = sandbox.start()
        remote.with(box, { ca_file = false }, function(front)
            for method, arguments in pairs { call = "Echo", stop_instances = { "a" } } do
                local client = front:first()
                local response, err = client[method](client, arguments)
                remote.failure(with { code = "TLS_VERIFY_FAILED", kind = "network" }, response, err)
                names(err.message, "lua_ssl_trusted_certificate", "lua_ssl_verify_depth",
                    box.endpoint)
            end
            assert.equal(0, #box:requests())
        end)
    end)
end)

describe("the certificate", function()
    local box, directory

    setup(function()
        box = sandbox.start { "--certificate-name", "console.zenlayer.com" }
        directory = process.temporary_directory()
    end)
    teardown(function()
        box:stop()
        process.remove(directory)
    end)

    -- What a call comes to at a server with this certificate, trusting that file.
    local function at_server(name, ca_file, more)
        local other = server.start("scripted", {
            cert = directory .. "/" .. name .. ".pem", key = directory .. "/" .. (
                name == "chain" and "leaf" or name) .. "-key.pem",
        })
        local front = remote.start(box, { ca_file = ca_file, http = more })
        local response, err = front:client({
            endpoint = "https://127.0.0.1:" .. other.port, max_attempts = 3,
        }):call "StopThings"
        local requests = #other:events "request"
        front:stop()
        other:stop()
        return response, err, requests
    end

    it("is trusted if it is named", function()
        certificates.self_signed(directory, "own")
        local response, err = at_server("own", directory .. "/own.pem")
        assert(response, tostring(err))
    end)

    it("that nobody vouches for is refused, once", function()
        certificates.self_signed(directory, "own")
        local response, err, requests = at_server("own", box.ca_file)
        remote.failure(with { code = "TLS_VERIFY_FAILED" }, response, err)
        assert.equal(0, requests)
    end)

    it("that has expired is refused", function()
        certificates.self_signed(directory, "old", "20200101000000Z", "20210101000000Z")
        local response, err, requests = at_server("old", directory .. "/old.pem")
        remote.failure(with { code = "TLS_VERIFY_FAILED" }, response, err)
        names(err.message, "expired")
        assert.equal(0, requests)
    end)

    it("may be as far from its root as lua_ssl_verify_depth says, and no farther", function()
        make_chain(directory)
        local response, err = at_server("chain", directory .. "/root.pem",
            "lua_ssl_verify_depth 1;")
        remote.failure(with { code = "TLS_VERIFY_FAILED" }, response, err)
        names(err.message, "lua_ssl_verify_depth")
        response, err = at_server("chain", directory .. "/root.pem", "lua_ssl_verify_depth 5;")
        assert(response, tostring(err))
    end)

    it("has to be for the endpoint's name, not for what is dialled", function()
        local other = sandbox.start { "--certificate-name", "console.zenlayer.com" }
        remote.with(other, {}, function(front)
            local dialled = "127.0.0.1:" .. front.box.port
            local response, err = front:client({
                endpoint = "https://console.zenlayer.com", connect_to = dialled,
            }):call("Echo", { n = 1 })
            assert.equal(1, response and response.params.n, tostring(err))
            assert.equal("console.zenlayer.com", front.box:requests()[1].host)
            response, err = front:client({
                endpoint = "https://other.zenlayer.com", connect_to = dialled,
            }):call "Echo"
            remote.failure(with { code = "TLS_VERIFY_FAILED" }, response, err)
            names(err.message, "other.zenlayer.com", "host mismatch")
            -- One that was verified for a name is not taken for another.
            response = front:client({
                endpoint = "https://console.zenlayer.com", connect_to = dialled,
            }):call("Echo", { n = 2 })
            assert.equal(2, response.params.n)
        end)
    end)

    it("is asked for: what speaks no TLS is TLS_FAILED, and tried again", function()
        local other = server.start("scripted", { impatient = true })
        local front = remote.start(box)
        local response, err = front:client({
            endpoint = "https://127.0.0.1:" .. other.port, max_attempts = 2,
        }):call "Echo"
        front:stop { "SSL_do_handshake%(%) failed" }
        other:stop()
        remote.failure({ code = "TLS_FAILED", outcome = "not_sent", attempts = 2 }, response, err)
    end)
end)

describe("a name", function()
    local box, resolver

    setup(function()
        box = sandbox.start { "--certificate-name", NAME }
        resolver = dns.start { [NAME] = { "127.0.0.1" } }
    end)
    teardown(function()
        resolver:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        resolver:set {}
    end)

    -- Call f with a client of the endpoint NAME, or another.
    local function with_client(f, options, pieces)
        local all = { resolver = resolver.address .. " ipv6=off valid=1s" }
        for name, value in pairs(pieces or {}) do
            all[name] = value or nil
        end
        local given = { endpoint = ("https://%s:%d"):format(NAME, box.port) }
        for name, value in pairs(options or {}) do
            given[name] = value
        end
        local front = remote.start(box, all)
        local ok, err = pcall(f, front:client(given))
        front:stop()
        if not ok then
            error(err, 0)
        end
    end

    it("is resolved by the resolver, and a kept connection asks no more", function()
        with_client(function(client)
            assert.is_true(client:run [[
                for i = 1, 10 do
                    assert(client:call("Echo", { i = i }))
                    ngx.sleep(0.15)
                end
                return true
            ]])
            assert.equal(1, #box:connections())
            assert.same({ NAME }, resolver:questions())
        end)
    end)

    it("without a resolver is NOT_CONFIGURED, which names the directive", function()
        with_client(function(client)
            local response, err = client:call "Echo"
            remote.failure(with { code = "NOT_CONFIGURED", kind = "argument" }, response, err)
            names(err.message, "directive resolver", NAME)
        end, {}, { resolver = false })
    end)

    it("that does not exist is RESOLVE_FAILED, tried again", function()
        with_client(function(client)
            local response, err = client:stop_instances { "a", "b" }
            remote.failure({
                code = "RESOLVE_FAILED", kind = "network", outcome = "not_sent", attempts = 2,
                retryable = true,
            }, response, err)
            assert.same({ "a", "b" }, err.batches[1].instance_ids)
            assert.equal("not_sent", err.batches[1].outcome)
        end, { endpoint = "https://nowhere.zenlayer.test:" .. box.port, max_attempts = 2 })
    end)

    it("that is never answered holds no call up beyond connect_timeout", function()
        resolver:set { silent = true }
        with_client(function(client)
            local began = process.now()
            local response, err = client:call "Echo"
            local seconds = process.now() - began
            remote.failure({
                code = "CONNECT_TIMEOUT", kind = "timeout", outcome = "not_sent", attempts = 1,
            }, response, err)
            assert.is_true(seconds < 5 * process.slowness, seconds)
        end, { connect_timeout = 0.5, max_attempts = 1 }, { http = "resolver_timeout 20s;" })
    end)

    it("nor one with a deadline", function()
        resolver:set { silent = true }
        with_client(function(client)
            local began = process.now()
            local response, err = client:stop_instances({ "a" }, { deadline = 1 })
            local seconds = process.now() - began
            remote.failure({
                code = "DEADLINE_EXCEEDED", kind = "timeout", outcome = "not_sent",
            }, response, err)
            assert.is_true(seconds < 6 * process.slowness, seconds)
        end, { connect_timeout = 15 }, { http = "resolver_timeout 20s;" })
    end)
end)
