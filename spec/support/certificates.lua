-- Throw-away certificates that the sandbox has none of.
local process = require "process"

local certificates = {}

-- In `directory`: ca.pem, server.pem and server-key.pem, for 127.0.0.1 and localhost, as the
-- sandbox's.
function certificates.make(directory)
    process.check {
        "python3", "-B", "-c",
        "import sys; sys.path.insert(0, 'sandbox')\n"
            .. "from zlsandbox import certificate\n"
            .. "certificate.make(sys.argv[1], '127.0.0.1')",
        directory,
    }
end

local CONFIGURATION = [[
[req]
prompt = no
distinguished_name = subject
x509_extensions = server
[subject]
CN = 127.0.0.1
[server]
subjectAltName = DNS:localhost, DNS:127.0.0.1, IP:127.0.0.1
%e
[ca]
default_ca = throw_away
[throw_away]
database = %s/index
serial = %s/serial
new_certs_dir = %s
default_md = sha256
policy = any
x509_extensions = server
[any]
commonName = supplied
]]

-- In `directory`: NAME.pem and NAME-key.pem, signed by itself; with dates (YYYYMMDDHHMMSSZ), valid
-- between them alone; with more lines of extensions.
function certificates.self_signed(directory, name, from, to, extensions)
    local path = directory .. "/" .. name
    process.write(path .. ".cnf", (CONFIGURATION:gsub("%%[se]", {
        ["%s"] = directory, ["%e"] = extensions or "",
    })))
    process.write(directory .. "/index", "")
    process.write(directory .. "/serial", "01\n")
    process.check {
        "openssl", "req", "-new", "-config", path .. ".cnf", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-keyout", path .. "-key.pem", "-out", path .. ".csr",
    }
    if from then
        process.check {
            "openssl", "ca", "-batch", "-config", path .. ".cnf", "-selfsign", "-notext", "-in",
            path .. ".csr", "-keyfile", path .. "-key.pem", "-startdate", from, "-enddate", to,
            "-out", path .. ".pem",
        }
    else
        process.check {
            "openssl", "req", "-x509", "-config", path .. ".cnf", "-in", path .. ".csr", "-key",
            path .. "-key.pem", "-days", "30", "-out", path .. ".pem",
        }
    end
end

-- The lines of a certificate that wants to be asked for at this port, whether it is still good.
function certificates.revocation(port)
    local place = "http://127.0.0.1:" .. port
    return table.concat({
        "crlDistributionPoints = URI:" .. place .. "/crl",
        "authorityInfoAccess = OCSP;URI:" .. place .. "/ocsp, caIssuers;URI:" .. place .. "/ca",
        "tlsfeature = status_request",
    }, "\n")
end

local CHAIN = [[
[req]
prompt = no
distinguished_name = subject
[subject]
CN = %s
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, DNS:127.0.0.1, IP:127.0.0.1
]]

-- In `directory`: root.pem, an authority, and chain.pem with chain-key.pem, for a server; between
-- the two are so many other authorities, all of them in chain.pem.
function certificates.chain(directory, between)
    local above = "root"
    local certificate = ""
    for i = 0, between + 1 do
        local name = i == 0 and "root" or i <= between and "between" .. i or "chain"
        local path = directory .. "/" .. name
        process.write(path .. ".cnf", CHAIN:format(name))
        process.check {
            "openssl", "req", "-new", "-config", path .. ".cnf", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-keyout", path .. "-key.pem", "-out",
            path .. ".csr",
        }
        local words = {
            "openssl", "x509", "-req", "-in", path .. ".csr", "-out", path .. ".pem", "-days", "30",
            "-extfile", path .. ".cnf", "-extensions", name == "chain" and "server" or "authority",
            "-set_serial", tostring(i + 1),
        }
        local signer = i == 0 and { "-signkey", path .. "-key.pem" } or {
            "-CA", directory .. "/" .. above .. ".pem", "-CAkey",
            directory .. "/" .. above .. "-key.pem",
        }
        table.move(signer, 1, #signer, #words + 1, words)
        process.check(words)
        if i > 0 then
            certificate = process.read(path .. ".pem") .. certificate
        end
        above = name
    end
    process.write(directory .. "/chain.pem", certificate)
end

return certificates
