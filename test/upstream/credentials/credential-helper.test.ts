import { expect, it } from 'vitest';
import { askCredentialHelper } from '../../../src/upstream/credentials/credential-helper.js';

/** Runs a script of Node as a helper. `server` is what it reads. */
function ask(script: string, timeoutMs = 30_000) {
  const read = `let server = ''; process.stdin.on('data', (part) => (server += part)).on('end', () => { ${script} });`;
  return askCredentialHelper([process.execPath, '-e', read, 'get'], 'registry.example:5000', { timeoutMs });
}

const print = (value: string): string => `process.stdout.write(JSON.stringify(${value}))`;

it('a credential helper reads the server and its arguments, and returns a name and a password', async () => {
  const credentials = await ask(print('{ ServerURL: server, Username: server.trim(), Secret: process.argv[1] }'));
  expect(credentials).toEqual({ username: 'registry.example:5000', password: 'get' });
});

it('a credential helper returns an identity token for the user name <token>', async () => {
  expect(await ask(print("{ ServerURL: server, Username: '<token>', Secret: 'refresh' }"))).toEqual({
    identityToken: 'refresh',
  });
});

it('a credential helper may ignore its input', async () => {
  const script = `process.stdin.destroy(); ${print("{ Username: 'robot', Secret: 'pw' }")}`;
  const credentials = await askCredentialHelper([process.execPath, '-e', script], 'x'.repeat(1_000_000));
  expect(credentials).toEqual({ username: 'robot', password: 'pw' });
});

it.each([
  ['exits with an error', "console.log('SECRET'); process.exitCode = 3", '"node" ended with exit code 3'],
  ['is killed', "process.kill(process.pid, 'SIGTERM')", '"node" failed (SIGTERM)'],
  ['does not write JSON', "console.log('SECRET')", '"node" did not write JSON with Username and Secret'],
  ['writes no secret', print("{ Username: 'SECRET' }"), '"node" did not write JSON with Username and Secret'],
  ['writes too much', "process.stdout.write('SECRET'.repeat(100_000))", '"node" wrote more than 65536 bytes'],
])('a credential helper that %s is named without its output', async (_title, script, reason) => {
  const error = await ask(script).catch((thrown: unknown) => thrown as Error);
  expect((error as Error).message).toBe(`its credentials could not be obtained: the helper ${reason}`);
});

it('a credential helper that does not end is killed', async () => {
  await expect(ask('setInterval(() => {}, 1000)', 300)).rejects.toThrow('"node" did not end within 0.3 s');
});

it('a credential helper is killed when the upstream client is closed', async () => {
  const closing = new AbortController();
  const started = askCredentialHelper([process.execPath, '-e', 'setInterval(() => {}, 1000)'], 'x', {
    signal: closing.signal,
  });
  closing.abort();
  await expect(started).rejects.toThrow('"node" failed (ABORT_ERR)');
});

it('a credential helper that does not exist is named', async () => {
  await expect(askCredentialHelper(['/nowhere/docker-credential-none', 'get'], 'x')).rejects.toThrow(
    'the helper "docker-credential-none" was not found',
  );
});

it('a credential helper is not run by a shell', async () => {
  await expect(askCredentialHelper(['echo x; exit', 'get'], 'x')).rejects.toThrow('"echo x; exit" was not found');
});
