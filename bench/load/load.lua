-- wrk's script: `-- UPLOAD BROWSER LENGTH BODY`, and the figures as one line of JSON.
-- UPLOAD: bytes of a POST's body; 0: GET. BROWSER: 1 sends heads as browsers do, each of them once.
-- LENGTH, BODY: if given, each answer is compared with them. BODY may be left out. To compare takes
-- time, so only the warm-up does it.

local threads = {}
wrong = 0

-- A head of 12 fields and about 700 bytes. Path, query, Referer, cookie and id are new each time:
-- they contain the second in which this process began, and a counter.
local function browser()
  local format, concat = string.format, table.concat
  local host, count = wrk.headers["Host"], os.time() % 400 * 10000000
  local started = format("%08x", os.time())
  local head = {
    "GET " .. wrk.path, "", "?q=", "", "&page=", "", " HTTP/1.1\r\nHost: " .. host
      .. "\r\nConnection: keep-alive"
      .. "\r\nUpgrade-Insecure-Requests: 1"
      .. "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
      .. "Chrome/128.0.0.0 Safari/537.36"
      .. "\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
      .. "image/apng,*/*;q=0.8"
      .. "\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate"
      .. "\r\nReferer: http://" .. host .. wrk.path, "", "?q=",
    "", "\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9"
      .. "\r\nCookie: theme=dark; _ga=GA1.1.1804289383.", "", "; session=", "",
    "\r\nX-Request-Id: ", "", "\r\n\r\n",
  }
  return function()
    count = count + 1
    local mixed = format("%08x%08x", count * 2654435761 % 4294967296, count)
    head[2], head[4], head[6] = count, mixed, count % 10
    head[8], head[10] = count - 1, mixed
    head[12], head[14], head[16] = count, started .. mixed, mixed .. started
    return concat(head)
  end
end

local function compare(length, text)
  return function(status, headers, body)
    if #body ~= length or (text and body ~= text) then
      wrong = wrong + 1
    end
  end
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local upload = tonumber(args[1] or "0")
  if upload > 0 then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/octet-stream"
    wrk.body = string.rep("x", upload)
  end
  if args[2] == "1" then
    request = browser()
  end
  if args[3] then
    response = compare(tonumber(args[3]), args[4])
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  local wrong = 0
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
  end
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "mean": %.1f, "deviation": %.1f, "connect": %d, '
      .. '"read": %d, "write": %d, "timeout": %d, "status": %d, "wrong": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.mean, latency.stdev,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status, wrong))
end
