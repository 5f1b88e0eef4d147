import { Client } from '../support/clients/client.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { makeArchive } from './archives.js';
import type { Random } from './random.js';
import { fuzz, type FuzzTarget, type Played } from './runner.js';

/** What is wrong with how an archive was imported, or with how what it brought is exported. */
async function judge(client: Client, archive: Buffer): Promise<{ problems: readonly string[]; taken: boolean }> {
  const imported = await client.post('/api/v1/repositories/local/import?image=fuzzed', { body: archive });
  const problems: string[] = [];
  if (imported.body.length > 1024 * 1024) problems.push(`an answer of ${imported.body.length} bytes`);
  if (imported.status !== 201) {
    if (![400, 413].includes(imported.status)) problems.push(`the import was answered by ${imported.status}`);
    return { problems, taken: false };
  }
  const { images } = imported.json() as { images: { digest: string }[] };
  const exported = await client.get(`/api/v1/repositories/local/export?name=fuzzed@${images[0]?.digest}`);
  if (![200, 400, 404].includes(exported.status)) problems.push(`the export was answered by ${exported.status}`);
  if (exported.status === 200 && exported.header('content-length') !== String(exported.body.length))
    problems.push('it has another length than was said');
  return { problems, taken: true };
}

/** Archives, as latin1, are imported or refused in a moment. */
class Archives implements FuzzTarget<string> {
  readonly #started: TestRegistry;

  private constructor(started: TestRegistry) {
    this.#started = started;
  }

  static async open(): Promise<Archives> {
    return new Archives(await startRegistry({ garbageCollection: { intervalSeconds: 0 } }));
  }

  async generate(random: Random): Promise<string> {
    return (await makeArchive(random)).toString('latin1');
  }

  async play(inputs: readonly string[]): Promise<Played<string>> {
    const findings: { input: string; problem: string }[] = [];
    let served = 0;
    for (const input of inputs) {
      const logBefore = this.#started.log.length;
      // A connection of its own: it takes so long to make some archives that an old one has been closed meanwhile.
      const client = new Client(this.#started.url);
      const noAnswer = (error: unknown) => ({ problems: [`no answer: ${String(error)}`], taken: false });
      const { problems, taken } = await judge(client, Buffer.from(input, 'latin1')).catch(noAnswer);
      await client.close();
      if (taken) served++;
      findings.push(...problems.map((problem) => ({ input, problem })));
      const errors = this.#started.log.slice(logBefore).filter(({ level }) => level === 'error');
      findings.push(...errors.map(({ message }) => ({ input, problem: `logged: ${message}` })));
    }
    return { findings, served };
  }

  close(): Promise<void> {
    return this.#started.close();
  }
}

fuzz<string>({ name: 'archives', batchSize: 1, minServed: 0.1, open: () => Archives.open() });
