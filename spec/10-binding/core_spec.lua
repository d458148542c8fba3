-- zenlayer.core: everything but the transport, for those who move the bytes themselves.
local expect = require "expect"
local process = require "process"
local core = require "zenlayer.core"
local zenlayer = require "zenlayer"

local KEY = { access_key_id = "KEY", access_key_password = "secret" }

local function with(options)
    local all = {}
    for name, value in pairs(KEY) do
        all[name] = value
    end
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    return all
end

local function refused(expected, f, ...)
    local ok, err = pcall(f, ...)
    return expect.failure(expected, ok and true or nil, err)
end

-- Drive an operation: every request is answered by answer(request), which returns a status and a
-- body.
local function drive(op, answer)
    while true do
        local what, n, request = op:step()
        if what == "done" then
            return op:result()
        end
        assert(what == "send", what)
        local status, body = answer(request)
        assert.is_true(op:reply(n, status, nil, body))
    end
end

describe("zenlayer.core", function()
    it("has what it says, and no transport", function()
        local names = {}
        for name in pairs(core) do
            names[#names + 1] = name
        end
        table.sort(names)
        assert.same({
            "_VERSION", "empty_array", "is_error", "monotonic", "new", "null", "parse_http_head",
            "refuse_unknown_methods", "sign",
        }, names)
        assert.equal(zenlayer._VERSION, core._VERSION)
        assert.equal(zenlayer.null, core.null)
        local client = core.new(KEY)
        for _, name in ipairs { "stop_instances", "call", "poll", "connect", "submit_call" } do
            assert.is_nil(rawget(getmetatable(client).__index, name), name)
        end
    end)

    it("has no libcurl in it or behind it", function()
        local file = assert(package.searchpath("zenlayer.core", package.cpath))
        local behind = process.check { "ldd", file }
        assert.truthy(behind:find("libcrypto", 1, true))
        assert.is_nil(behind:find("curl", 1, true))
        assert.is_nil(behind:find("libssl", 1, true))
        local symbols = process.check { "nm", "-D", file }
        assert.is_nil(symbols:find("curl_", 1, true))
    end)

    it("signs as zenlayer does", function()
        local input = with { host = "h", body = "{}", timestamp = 1700000000 }
        assert.same(zenlayer.sign(input), core.sign(input))
    end)

    it("prepares, and knows whose errors are whose", function()
        local client = core.new(KEY)
        local request_ids = drive(client:prepare_stop_instances { "a" }, function(request)
            assert.equal('{"instanceIds":["a"]}', request.body)
            return 200, '{"requestId":"T1","response":{"requestId":"T1"}}'
        end)
        assert.same({ "T1" }, request_ids)
        local op = client:prepare_stop_instances { "a" }
        local expected = { code = "INVALID_INSTANCE_NOT_FOUND", outcome = "rejected" }
        local err = refused(expected, drive, op, function()
            return 404, '{"requestId":"T2","code":"INVALID_INSTANCE_NOT_FOUND","message":"no"}'
        end)
        assert.is_true(core.is_error(err))
        assert.is_true(zenlayer.is_error(err))
        -- Nothing of one object is taken for the other's.
        local plain = zenlayer.new(KEY)
        local bad_self = { code = "INVALID_ARGUMENT", where = "self" }
        refused(bad_self, plain.stop_instances, client, { "a" })
        refused(bad_self, client.settings, plain)
        plain:close()
    end)

    it("asks for the statuses of all instances, page by page", function()
        local op = core.new(KEY):prepare_describe_instances_status()
        local pages = 0
        local statuses = drive(op, function(request)
            pages = pages + 1
            assert.truthy(request.body:find('"pageNum":' .. pages, 1, true))
            local items, first = {}, (pages - 1) * 1000
            for i = first + 1, math.min(first + 1000, 1500) do
                items[#items + 1] = ('{"instanceId":"i%d","instanceStatus":"RUNNING"}'):format(i)
            end
            return 200, ('{"requestId":"T1","response":{"totalCount":1500,"dataSet":[%s]}}'):format(
                table.concat(items, ","))
        end)
        assert.equal(2, pages)
        local count = 0
        for _ in pairs(statuses) do
            count = count + 1
        end
        assert.equal(1500, count)
    end)

    it("tells a driver what it has to mind", function()
        local settings = core.new(KEY):settings()
        assert.same({
            endpoint = "https://console.zenlayer.com", connect_timeout = 5,
            max_response_bytes = 8388608, max_concurrency = 8,
        }, settings)
        assert.same({
            endpoint = "https://[::1]:8443", connect_to = "127.0.0.1:1", connect_timeout = 0.25,
            max_response_bytes = 10, max_concurrency = 3, proxy = "http://u:p@h:1",
        }, core.new(with {
            endpoint = "https://[::1]:8443/", connect_to = "127.0.0.1:1", connect_timeout = 0.25,
            max_response_bytes = 10, max_concurrency = 3, proxy = "http://u:p@h:1",
        }):settings())
        assert.is_nil(core.new(with { proxy = false }):settings().proxy)
    end)

    it("refuses what is nginx's to say, and what cosockets cannot do", function()
        for _, name in ipairs { "ca_file", "ca_path" } do
            local err = refused({ code = "INVALID_ARGUMENT", where = "options." .. name }, core.new,
                with { [name] = "/etc/ssl/certs" })
            assert.truthy(err.message:find("lua_ssl_trusted_certificate", 1, true))
        end
        refused({ code = "INVALID_ARGUMENT", where = "options.proxy" }, core.new,
            with { proxy = "socks5://h:1" })
        refused({ code = "UNKNOWN_OPTION" }, core.new, with { allow_blocking = true })
    end)

    it("closes: what is prepared goes on, nothing new begins", function()
        local client = core.new(KEY)
        local op = client:prepare("DescribeThings")
        client:close()
        refused({ code = "CLIENT_CLOSED" }, client.prepare, client, "DescribeThings")
        refused({ code = "CLIENT_CLOSED" }, client.settings, client)
        assert.equal("send", (op:step()))
    end)
end)

describe("an operation's step_http", function()
    it("gives the bytes of the request that step gives", function()
        local client = core.new(with { max_attempts = 9, timeout = 7 })
        local op = client:prepare("DescribeThings", { a = 1 }, { deadline = 60 })
        local before = core.monotonic()
        local what, n, bytes, timeout, over = op:step_http()
        assert.same({ "send", 1, 7 }, { what, n, timeout })
        assert.is_true(over - 7 >= before - 0.0005 and over - 7 <= core.monotonic() + 0.0005)
        local head, body = bytes:match "^(.-\r\n)\r\n(.*)$"
        assert.equal('{"a":1}', body)
        assert.equal("POST /api/v2/vm HTTP/1.1", head:match "^[^\r]*")
        op:failed(1, "no", false)
        op:step()
        local fields = {}
        for name, value in head:gmatch "\n([^:\r\n]+): ([^\r]*)" do
            fields[name] = value
        end
        assert.equal("7", fields["Content-Length"])
        assert.equal("application/json", fields.Accept)
        local signed = zenlayer.sign(with {
            host = fields.Host, body = body, timestamp = tonumber(fields["X-ZC-Timestamp"]),
        })
        assert.equal(signed.Authorization, fields.Authorization)
    end)

    it("says whether nothing else is to be done before a report, and a report whether all is done",
        function()
            local client, ids = core.new(KEY), {}
            for i = 1, 101 do
                ids[i] = "i" .. i
            end
            local op = client:prepare_stop_instances(ids)
            assert.is_false((select(6, op:step_http()))) -- a second batch follows
            assert.is_false((select(6, op:step_http()))) -- two are under way
            local body = '{"requestId":"T1","response":{}}'
            assert.same({ true, false }, { op:reply(1, 200, nil, body) })
            assert.same({ true, false }, { op:reply(2, 500, nil, "") })
            assert.same({ false, false }, { op:failed(2, "again", true) })
            local step
            repeat
                step = { op:step_http() }
            until step[1] == "send"
            assert.same({ 2, true }, { step[2], step[6] })
            assert.same({ true, true }, { op:reply(2, 200, nil, body) })
            assert.same({ false, true }, { op:reply(2, 200, nil, body) })

            local bare = core.new(with { max_concurrency = 1 })
            local first, second = bare:prepare "DescribeA", bare:prepare "DescribeB"
            assert.is_true((select(6, first:step_http())))
            assert.equal("pending", (second:step_http()))
            assert.same({ true, true }, { first:failed(1, "no", true, "TLS_VERIFY_FAILED") })
        end)

    it("says no longer time than the deadline has left", function()
        local client = core.new(with { timeout = 7 })
        local _, _, request = client:prepare("DescribeThings", {}, { deadline = 2 }):step()
        assert.is_true(request.timeout <= 2 and request.timeout > 0)
    end)
end)

describe("an operation's failed", function()
    it("takes the reason, and judges by it", function()
        local client = core.new(with { max_attempts = 2 })
        for code, expected in pairs {
            RESOLVE_FAILED = { "network", true }, TLS_VERIFY_FAILED = { "network", false },
            CONNECT_TIMEOUT = { "timeout", true }, NOT_CONFIGURED = { "argument", false },
            WRONG_PHASE = { "argument", false },
        } do
            local op = client:prepare_stop_instances { "a" }
            local _, n = op:step()
            op:failed(n, "because", false, code)
            if expected[2] then -- again, at once or after a random wait
                assert.is_true((op:step()) ~= "done")
            else
                assert.equal("done", (op:step()))
                local err = refused({ code = code, kind = expected[1], outcome = "not_sent",
                    message = "because", retryable = false }, op.result, op)
                assert.equal(1, #err.batches)
            end
        end
        local op = client:prepare("StopThings")
        op:failed(select(2, op:step()), "late", true, "TIMEOUT")
        refused({ code = "TIMEOUT", kind = "timeout", outcome = "unknown" }, op.result, op)
    end)

    it("takes no code that is none of a lost answer's", function()
        local op = core.new(KEY):prepare("StopThings")
        local _, n = op:step()
        for _, code in ipairs { "DEADLINE_EXCEEDED", "nonsense", "" } do
            refused({ code = "INVALID_ARGUMENT", where = "code" }, op.failed, op, n, "m", true,
                code)
        end
        refused({ code = "INVALID_ARGUMENT", where = "code" }, op.failed, op, n, "m", true, 7)
    end)
end)

describe("an operation's cancel", function()
    it("ends it, with the truth about every id", function()
        local client = core.new(KEY)
        local list = {}
        for i = 1, 250 do
            list[i] = "i-" .. i
        end
        local op = client:prepare_stop_instances(list, { on_error = "continue" })
        local _, first = op:step()
        local _, second = op:step()
        assert.is_true(op:reply(first, 200, nil,
            '{"requestId":"T1","response":{"requestId":"T1"}}'))
        assert.is_true(op:failed(second, "given up", false, "CANCELLED"))
        op:step()
        assert.is_true(op:cancel "enough")
        assert.is_false(op:cancel())
        assert.equal("done", (op:step()))
        local err = refused({ code = "CANCELLED", kind = "cancelled", outcome = "unknown" },
            op.result, op)
        assert.same({ "accepted", "not_sent", "unknown" }, {
            err.batches[1].outcome, err.batches[2].outcome, err.batches[3].outcome,
        })
        refused({ code = "INVALID_ARGUMENT", where = "message" }, op.cancel, op, {})
    end)
end)
