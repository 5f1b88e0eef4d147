// An Express gateway that shares its login with the registry: browsers use their session, docker a password.
import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import express from 'express';
import { createRegistry } from 'artifactapi';
import { mountRegistry } from 'artifactapi/express';

const hash = (password, salt) => scryptSync(password, salt, 32, { N: 4096 });
const addUser = (id, groups, password, salt = randomBytes(16)) => ({ id, groups, salt, hash: hash(password, salt) });
const users = new Map([
  ['ana', addUser('ana', ['team', 'operators'], process.env.ANA_PASSWORD ?? 'secret')],
  ['ben', addUser('ben', ['team'], process.env.BEN_PASSWORD ?? 'secret too')],
]); // stands in for your database
const nobody = addUser('', [], randomBytes(16));
const sessions = new Map(); // id in the cookie → user

function checkPassword(name, password) {
  const { salt, hash: expected } = users.get(name) ?? nobody; // the same work for unknown names
  return timingSafeEqual(hash(password, salt), expected) ? users.get(name) : undefined;
}

/** Returns the user who sent a request. `undefined` does not refuse it: the registry then checks for a token that it issued. */
function authenticate({ headers: { cookie = '', authorization = '' } }) {
  const [, basic] = /^Basic (\S+)$/i.exec(authorization) ?? [];
  if (basic === undefined) return sessions.get(/(?:^|; )session=(\w+)/.exec(cookie)?.[1]);
  const [, name, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString()) ?? [];
  return name === undefined ? undefined : checkPassword(name, password);
}

const registry = createRegistry({
  storage: process.env.DATA ?? './data',
  repositories: [{ name: 'docker-internal', type: 'local' }],
  access: {
    authenticate,
    loginUrl: '/login', // where the web UI sends people
    rules: [
      { names: 'docker-internal', groups: ['team'], allow: ['pull', 'push'] },
      { groups: ['operators'], allow: ['admin'] },
    ],
  },
});

const app = express();
mountRegistry(app, registry, { management: '/', ui: true }); // before body parsers and any login wall
app.get('/login', (_req, res) => {
  res.send(`<!doctype html><html lang="en"><title>Log in</title><form method="post"><h1>Log in to the app</h1>
    <label>Name <input name="name" autocomplete="username"></label>
    <label>Password <input name="password" type="password" autocomplete="current-password"></label>
    <button>Log in</button></form></html>`);
});
app.post('/login', express.urlencoded({ extended: false }), ({ body }, res) => {
  const user = checkPassword(String(body?.name), String(body?.password));
  if (user === undefined) {
    res.status(401).send('wrong name or password\n');
    return;
  }
  const id = randomBytes(16).toString('hex');
  sessions.set(id, user);
  res.cookie('session', id, { httpOnly: true, sameSite: 'strict' }); // add `secure` when you serve TLS
  res.redirect(303, '/ui/');
});

const server = createServer({ requestTimeout: 0, keepAliveTimeout: 75_000 }, app);
server.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
const stop = () => server.close(() => void registry.close());
process.once('SIGTERM', stop).once('SIGINT', stop);
