-- Who is trusted, what is dialled, and through which proxy.
local certificates = require "certificates"
local cjson = require "cjson"
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"
local server = require "server"

-- A call in a process of its own, with this environment: what came of it, as a table.
local CHILD = [[
local cjson = require "cjson"
local options = cjson.decode(arg[1])
local client, err = require "zenlayer.safe".new(options)
local response
if client then
    response, err = client:call("Echo", { n = 1 })
    client:close()
end
local told = { ok = response ~= nil }
for _, name in ipairs { "kind", "code", "message", "outcome", "attempts", "retryable" } do
    told[name] = err ~= nil and type(err) == "table" and err[name] or nil
end
told.text = tostring(err)
print(cjson.encode(told))
]]

local NO_PROXY_IN_SIGHT = {
    https_proxy = false, HTTPS_PROXY = false, http_proxy = false, HTTP_PROXY = false,
    all_proxy = false, ALL_PROXY = false, no_proxy = false, NO_PROXY = false,
}

local function call_in_child(options, environment)
    local all = {}
    for name, value in pairs(NO_PROXY_IN_SIGHT) do
        all[name] = value
    end
    for name, value in pairs(environment or {}) do
        all[name] = value
    end
    local output, status = process.run_lua(CHILD, all, cjson.encode(options))
    assert.equal(0, status, output)
    return cjson.decode(output)
end

describe("trust", function()
    local box

    setup(function()
        box = sandbox.start { "--certificate-name", "console.zenlayer.com" }
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    it("without ca_file the system's is tried, and named", function()
        local client = closing(box:client { ca_file = false })
        for _ = 1, 2 do
            local err = expect.failure({
                kind = "network", code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
                retryable = false, http_status = expect.ABSENT,
            }, client:call("Echo"))
            assert.truthy(err.message:find("ca_file", 1, true))
            assert.truthy(err.message:find("ca_path", 1, true))
            assert.truthy(err.message:find("/%S+", 1), err.message)
            assert.truthy(err.message:find("certificates in /", 1, true), err.message)
        end
        assert.equal(0, #box:requests())
    end)

    it("another ca_file is tried, and named", function()
        local file = box.directory .. "/another.pem"
        certificates.self_signed(box.directory, "other")
        process.write(file, process.read(box.directory .. "/other.pem"))
        local client = closing(box:client { ca_file = file })
        local err = expect.failure({
            code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
        }, client:stop_instances(box:ids(150)))
        assert.truthy(err.message:find(file, 1, true))
        for _, batch in ipairs(err.batches) do
            assert.equal("not_sent", batch.outcome)
        end
        assert.equal(0, #box:requests())
    end)

    it("a ca_file of nonsense verifies nothing", function()
        local file = box.directory .. "/nonsense.pem"
        process.write(file, "this is no certificate\n")
        local client = closing(box:client { ca_file = file })
        local err = expect.failure({ code = "TLS_VERIFY_FAILED", outcome = "not_sent" },
            client:call("Echo"))
        assert.truthy(err.message:find(file, 1, true))
    end)

    it("connect() fails as a call does", function()
        local client = closing(box:client { ca_file = false })
        expect.failure({ kind = "network", code = "TLS_VERIFY_FAILED", outcome = "not_sent" },
            client:connect())
        local raising = closing(box:raising_client { ca_file = false })
        local ok, err = pcall(raising.connect, raising)
        assert.is_false(ok)
        expect.failure({ code = "TLS_VERIFY_FAILED" }, nil, err)
    end)

    it("a folder of certificates will do", function()
        local folder = box.directory .. "/trusted"
        process.check { "mkdir", folder }
        process.check { "cp", box.ca_file, folder .. "/ca.pem" }
        process.check { "openssl", "rehash", folder }
        local client = closing(box:client { ca_file = false, ca_path = folder })
        expect.success(client:call("Echo"))

        local empty = box.directory .. "/empty"
        process.check { "mkdir", empty }
        local other = closing(box:client { ca_file = false, ca_path = empty })
        local err = expect.failure({ code = "TLS_VERIFY_FAILED", outcome = "not_sent" },
            other:call("Echo"))
        assert.truthy(err.message:find(empty, 1, true))
    end)

    it("connect_to dials there; the endpoint's name is signed and verified", function()
        local client = closing(box:client {
            endpoint = "https://console.zenlayer.com", connect_to = "127.0.0.1:" .. box.port,
        })
        expect.success(client:stop_instances(box:ids(1)))
        local request = box:requests()[1]
        assert.equal("console.zenlayer.com", request.host)
        assert.is_true(request.verified)
    end)

    it("a name that the certificate has not is refused, before anything is sent", function()
        for _, name in ipairs { "other.zenlayer.com", "zenlayer.com", "127.0.0.2" } do
            local client = closing(box:client {
                endpoint = "https://" .. name, connect_to = "127.0.0.1:" .. box.port,
            })
            expect.failure({
                kind = "network", code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
            }, client:call("Echo"))
        end
        assert.equal(0, #box:requests())
    end)

    it("localhost is the name of the endpoint that has it", function()
        local client = closing(box:client { endpoint = "https://localhost:" .. box.port })
        expect.success(client:call("Echo"))
        assert.equal("localhost:" .. box.port, box:requests()[1].host)
    end)

    it("the environment's certificates are not libcurl's business", function()
        local told = call_in_child(box:options { ca_file = false },
            { SSL_CERT_FILE = box.ca_file, CURL_CA_BUNDLE = box.ca_file })
        assert.equal("TLS_VERIFY_FAILED", told.code)
    end)
end)

describe("a server", function()
    local directory

    setup(function()
        directory = process.temporary_directory()
        certificates.make(directory)
        certificates.self_signed(directory, "self")
        certificates.self_signed(directory, "expired", "20200101000000Z", "20200201000000Z")
        certificates.self_signed(directory, "future", "20900101000000Z", "20910101000000Z")
    end)
    teardown(function()
        process.remove(directory)
    end)

    -- Three calls at most to such a server: the error, and what reached the server.
    local function call(options, ca_name, endpoint)
        local other = server.start("scripted", options)
        local box = setmetatable({
            endpoint = (endpoint or "https://127.0.0.1:") .. other.port,
            ca_file = directory .. "/" .. ca_name,
        }, sandbox)
        local client = closing(box:client { max_attempts = 2 })
        local response, err = client:call("Echo")
        local requests, connections = #other:events "request", #other:events "connection"
        other:stop()
        return response, err, requests, connections
    end

    local function tls(name, minimum, maximum)
        return {
            cert = directory .. "/" .. name .. ".pem", key = directory .. "/" .. name .. "-key.pem",
            minimum = minimum, maximum = maximum,
        }
    end

    it("with a good certificate is talked to", function()
        local response, request_id, requests = call(tls "server", "ca.pem")
        expect.success(response, request_id)
        assert.equal(1, requests)
    end)

    it("with an expired certificate is not, though it is trusted", function()
        local response, err, requests, connections = call(tls "expired", "expired.pem")
        expect.failure({ code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1 },
            response, err)
        assert.truthy(err.message:find "expired")
        assert.equal(0, requests)
        assert.equal(1, connections)
    end)

    it("with a certificate of the future is not, though it is trusted", function()
        local response, err, requests = call(tls "future", "future.pem")
        expect.failure({ code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1 },
            response, err)
        assert.equal(0, requests)
    end)

    it("with a certificate that wants to be asked for is; nobody is asked", function()
        local place = server.start "scripted"
        certificates.self_signed(directory, "asked", nil, nil, certificates.revocation(place.port))
        local response, request_id = call(tls "asked", "asked.pem")
        local connections = #place:events "connection"
        place:stop()
        expect.success(response, request_id)
        assert.equal(0, connections)
    end)

    it("with a self-signed certificate is not", function()
        local response, err, requests = call(tls "self", "ca.pem")
        expect.failure({ code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1 },
            response, err)
        assert.equal(0, requests)
    end)

    it("that knows TLS 1.1 at best is not", function()
        local response, err, requests, connections = call(tls("server", "TLSv1", "TLSv1_1"),
            "ca.pem")
        expect.failure({
            kind = "network", code = "TLS_FAILED", outcome = "not_sent", attempts = 2,
            retryable = true,
        }, response, err)
        assert.equal(0, requests)
        assert.equal(2, connections)
    end)

    it("that knows TLS 1.2 alone is", function()
        local response, request_id = call(tls("server", "TLSv1_2", "TLSv1_2"), "ca.pem")
        expect.success(response, request_id)
    end)

    it("that speaks no TLS is not", function()
        local response, err, requests, connections = call({ impatient = true }, "ca.pem")
        expect.failure({
            kind = "network", code = "TLS_FAILED", outcome = "not_sent", attempts = 2,
        }, response, err)
        assert.equal(0, requests)
        assert.equal(2, connections)
    end)

    it("that speaks TLS is not talked to in plain text", function()
        local response, err, requests = call(tls "server", "ca.pem", "http://127.0.0.1:")
        expect.failure({}, response, err)
        assert.equal(0, requests)
    end)

    it("that is sought by redirect is not gone to", function()
        local response, err, requests = call({
            cert = directory .. "/server.pem", key = directory .. "/server-key.pem",
            script = { {
                send = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\n"
                    .. "Content-Length: 0\r\n\r\n",
            } },
        }, "ca.pem")
        expect.failure({ code = "UNEXPECTED_STATUS", outcome = "rejected", attempts = 1 },
            response, err)
        assert.equal(1, requests)
    end)
end)

describe("a proxy", function()
    local box, proxy, plain

    setup(function()
        box = sandbox.start()
        plain = sandbox.start { "--http" }
        proxy = server.start("proxy", { user = "spec", password = "s3cret word" })
    end)
    teardown(function()
        proxy:stop()
        plain:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        plain:faults {}
    end)

    local function url(which, user)
        return "http://" .. (user or "spec:s3cret%20word@") .. "127.0.0.1:" .. which.port
    end

    it("is used if it is given, with one CONNECT for many calls", function()
        local before = #proxy:events "request"
        local client = closing(box:client { proxy = url(proxy) })
        for _ = 1, 3 do
            expect.success(client:call("Echo"))
        end
        local seen = proxy:events "request"
        assert.equal(before + 1, #seen)
        assert.equal("CONNECT 127.0.0.1:" .. box.port .. " HTTP/1.1", seen[#seen].line)
        assert.equal(3, #box:requests())
        assert.equal(1, #box:connections())
    end)

    it("is asked for where connect_to says; the name is the endpoint's", function()
        local client = closing(box:client {
            endpoint = "https://localhost:443", connect_to = "127.0.0.1:" .. box.port,
            proxy = url(proxy),
        })
        expect.success(client:call("Echo"))
        local seen = proxy:events "request"
        assert.equal("CONNECT 127.0.0.1:" .. box.port .. " HTTP/1.1", seen[#seen].line)
        assert.equal("localhost", box:requests()[1].host)
    end)

    it("that wants another password fails the call, and is not quoted", function()
        local client = closing(box:client {
            proxy = url(proxy, "spec:wr0ng@"), max_attempts = 2,
        })
        local err = expect.failure({
            kind = "network", code = "PROXY_FAILED", outcome = "not_sent", attempts = 2,
            retryable = true,
        }, client:call("Echo"))
        assert.is_nil(err.message:find("wr0ng", 1, true))
        assert.is_nil(tostring(err):find("wr0ng", 1, true))
        assert.equal(0, #box:requests())
        expect.failure({ code = "PROXY_FAILED", outcome = "not_sent" }, client:connect())
    end)

    for _, refusal in ipairs { "403 Forbidden", "407 Proxy Authentication Required",
        "502 Bad Gateway", "301 Moved" } do
        it("that refuses with " .. refusal .. " fails the call", function()
            local strict = server.start("proxy", { refuse = refusal })
            local client = closing(box:client { proxy = url(strict), max_attempts = 2 })
            local response, err = client:stop_instances(box:ids(1))
            local seen = #strict:events "request"
            strict:stop()
            expect.failure({
                kind = "network", code = "PROXY_FAILED", outcome = "not_sent", attempts = 2,
            }, response, err)
            for _, text in ipairs { err.message, tostring(err), tostring(err.batches[1].error) } do
                assert.is_nil(text:find("s3cret", 1, true))
            end
            assert.is_true(seen >= 2)
            assert.equal(0, #box:requests())
        end)
    end

    it("that hangs up, is not there, or is not to be found, fails the call", function()
        local rude = server.start("proxy", { hang_up = true })
        local nobody = server.start("closed")
        local urls = {
            url(rude), url(nobody),
            "http://spec:s3cret%20word@" .. ("a"):rep(64) .. ".invalid:8080", -- no name is so long
        }
        local errors = {}
        for i, proxy_url in ipairs(urls) do
            local client = closing(box:client { proxy = proxy_url, max_attempts = 2 })
            errors[i] = select(2, client:call("Echo"))
        end
        rude:stop()
        nobody:stop()
        for _, err in ipairs(errors) do
            expect.failure({
                kind = "network", code = "PROXY_FAILED", outcome = "not_sent", attempts = 2,
            }, nil, err)
            assert.is_nil(tostring(err):find("s3cret", 1, true))
        end
        assert.equal(#urls, #errors)
    end)

    it("does not loosen trust", function()
        local client = closing(box:client { proxy = url(proxy), ca_file = false })
        local err = expect.failure({
            code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
        }, client:call("Echo"))
        assert.is_nil(tostring(err):find("s3cret", 1, true))
    end)

    describe("of the environment", function()
        it("is used by default", function()
            local before = #proxy:events "request"
            local options = box:options()
            options.proxy = nil
            local told = call_in_child(options, { https_proxy = url(proxy) })
            assert.is_true(told.ok, told.text)
            assert.equal(before + 1, #proxy:events "request")
        end)

        it("is not used for what no_proxy names", function()
            local before = #proxy:events "request"
            local options = box:options()
            options.proxy = nil
            local told = call_in_child(options,
                { https_proxy = url(proxy), no_proxy = "example.com,127.0.0.1" })
            assert.is_true(told.ok, told.text)
            assert.equal(before, #proxy:events "request")
        end)

        it("is not used with proxy = false", function()
            local before = #proxy:events "request"
            local told = call_in_child(box:options { proxy = false },
                { https_proxy = url(proxy), ALL_PROXY = url(proxy) })
            assert.is_true(told.ok, told.text)
            assert.equal(before, #proxy:events "request")
        end)

        it("is not used when one is given, and no_proxy is not asked then", function()
            local nobody = server.start("closed")
            local before = #proxy:events "request"
            local told = call_in_child(box:options { proxy = url(proxy) },
                { https_proxy = url(nobody), no_proxy = "*" })
            nobody:stop()
            assert.is_true(told.ok, told.text)
            assert.equal(before + 1, #proxy:events "request")
        end)

        it("is not used for http", function()
            local before = #proxy:events "request"
            local told = call_in_child(plain:options(), {
                http_proxy = url(proxy), https_proxy = url(proxy), ALL_PROXY = url(proxy),
            })
            assert.is_true(told.ok, told.text)
            assert.equal(before, #proxy:events "request")
            assert.equal(1, #plain:requests())
        end)

        it("that is not there fails the call as one that was given", function()
            local nobody = server.start("closed")
            local options = box:options { max_attempts = 1 }
            options.proxy = nil
            local told = call_in_child(options, { https_proxy = url(nobody) })
            nobody:stop()
            assert.is_false(told.ok)
            assert.equal("not_sent", told.outcome)
            assert.is_nil(told.text:find("s3cret", 1, true))
            assert.equal("PROXY_FAILED", told.code)
        end)

        it("that refuses fails the call", function()
            local options = box:options { max_attempts = 1 }
            options.proxy = nil
            local told = call_in_child(options, { https_proxy = url(proxy, "spec:wr0ng@") })
            assert.is_false(told.ok)
            assert.equal("PROXY_FAILED", told.code)
            assert.equal("not_sent", told.outcome)
            assert.is_nil(told.text:find("wr0ng", 1, true))
        end)
    end)
end)
