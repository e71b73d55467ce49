// The same answers from Node's http.
"use strict";

const http = require("node:http");

const hello = Buffer.from("Hello, world!");
const large = Buffer.from("0123456789".repeat(5000));
const piece = Buffer.alloc(62500, "x");

// Node adds Connection and Keep-Alive, which nothing asks for; with this it leaves them out.
const equalFields = process.env.EQUAL_FIELDS === "yes";

function whole(response, type, body) {
  if (equalFields) response.removeHeader("Connection");
  response.writeHead(200, { "Content-Type": type, "Content-Length": body.length });
  response.end(body);
}

function echo(request, response) {
  const pieces = [];
  request.on("data", (data) => pieces.push(data));
  request.on("end", () => whole(response, "application/octet-stream", Buffer.concat(pieces)));
}

function stream(response, left) {
  for (; left > 0; left--) {
    if (!response.write(piece)) {
      response.once("drain", () => stream(response, left - 1));
      return;
    }
  }
  response.end();
}

http
  .createServer((request, response) => {
    switch (request.url) {
      case "/large":
        return whole(response, "text/plain", large);
      case "/echo":
        return echo(request, response);
      case "/stream":
        response.writeHead(200, { "Content-Type": "application/octet-stream" });
        return stream(response, 16);
      default:
        return whole(response, "text/plain", hello);
    }
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
