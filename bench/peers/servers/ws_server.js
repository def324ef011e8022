// Every line from the publisher to every client, with ws: node ws_server.js PORT PUBLISH_PORT.
'use strict';
const net = require('node:net');
const { WebSocketServer, WebSocket } = require('ws');

const [port, publishPort] = process.argv.slice(2).map(Number);
const LINE_BYTES = 201; // a 200-byte ticker and its newline
const server = new WebSocketServer({ host: '127.0.0.1', port, backlog: 4096, perMessageDeflate: false });

server.on('connection', (client) => client.on('error', () => client.terminate()));

net.createServer((publisher) => {
  let rest = Buffer.alloc(0);
  publisher.on('data', (chunk) => {
    let bytes = rest.length ? Buffer.concat([rest, chunk]) : chunk;
    for (; bytes.length >= LINE_BYTES; bytes = bytes.subarray(LINE_BYTES)) {
      const message = bytes.subarray(0, LINE_BYTES - 1);
      server.clients.forEach((client) => {
        if (client.readyState === WebSocket.OPEN) client.send(message, { binary: false });
      });
    }
    rest = Buffer.from(bytes);
  });
}).listen(publishPort, '127.0.0.1');
