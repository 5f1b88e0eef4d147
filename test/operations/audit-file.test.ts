import { mkdir, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createRuntime } from '../../src/composition/runtime.js';
import { AuditFile, type AuditSettings } from '../../src/operations/audit-file.js';
import type { AuditNote } from '../../src/ports/operations/audit.js';
import type { Actor, JournalEntry } from '../../src/ports/metadata/journal.js';
import { eventually } from '../support/eventually.js';
import { recordingLogger, type LogLine } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

const ana: Actor = { principal: 'ana', via: 'basic', requestId: 'r1', address: '192.0.2.7', userAgent: 'docker' };
const hour = 3_600_000;
const day = 24 * hour;
const start = Date.UTC(2026, 6, 25, 10);

let folder: string;
let file: string;
let now: number;
let entries: JournalEntry[];
let log: readonly LogLine[];
const opened: AuditFile[] = [];

beforeEach(async () => {
  folder = await makeScratchFolder();
  file = path.join(folder, 'audit.jsonl');
  now = start;
  entries = [];
});
afterEach(async () => {
  for (const audit of opened.splice(0)) await audit.close();
  await removeScratchFolder(folder);
});

async function open(settings: Partial<AuditSettings> = {}): Promise<AuditFile> {
  const logger = recordingLogger();
  log = logger.lines;
  const audit = await AuditFile.open(
    { file, keepDays: 30, maxBytes: 1_000_000, events: ['change', 'login', 'denied'], ...settings },
    {
      runtime: { ...createRuntime(logger), now: () => now },
      journal: {
        read: async (page) =>
          'after' in page
            ? entries.filter(({ seq }) => seq > page.after).slice(0, page.limit)
            : entries
                .filter(({ seq }) => seq < page.before)
                .toReversed()
                .slice(0, page.limit),
      },
    },
  );
  opened.push(audit);
  return audit;
}

/** Closes the file, which writes what is left. */
async function close(audit: AuditFile): Promise<void> {
  opened.splice(opened.indexOf(audit), 1);
  await audit.close();
}

/** Adds changes to the journal. Their numbers have gaps. */
function change(count: number, at = now): void {
  for (let i = 0; i < count; i++) {
    const seq = (entries.at(-1)?.seq ?? 0) + 1 + (i % 3);
    entries.push({ seq, at, type: 'rule.created', by: ana, id: `rule-${seq}` });
  }
}

const denied = (url: string): AuditNote => ({ event: 'denied', what: 'request.denied', by: ana, details: { url } });

interface Line {
  readonly at: string;
  readonly cursor: number;
  readonly what: string;
  readonly id?: string;
  readonly url?: string;
  readonly lines?: number;
}

const linesOf = async (name = file): Promise<Line[]> =>
  (await readFile(name, 'utf8'))
    .split('\n')
    .slice(0, -1)
    .map((text) => JSON.parse(text) as Line);

/** All lines of all files, in order. */
async function allLines(): Promise<Line[]> {
  const rotated = (await readdir(folder)).filter((name) => name !== path.basename(file));
  const order = (name: string): string => name.replace(/\d+$/, (number) => number.padStart(5, '0'));
  rotated.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  return (await Promise.all([...rotated.map((name) => linesOf(path.join(folder, name))), linesOf()])).flat();
}

const numbersOf = (lines: readonly Line[]): string[] => lines.flatMap(({ id }) => id ?? []);

it('the audit file has a line with every field of a change', async () => {
  const [digest, was] = ['sha256:a', 'sha256:b'] as unknown as [JournalEntry['digest'], JournalEntry['was']];
  const tag = 'v1' as NonNullable<JournalEntry['tag']>;
  const at = { repository: 'local', image: 'team/app' };
  entries.push({ seq: 42, at: now, type: 'tag.moved', by: ana, ...at, tag, ...(digest && was && { digest, was }) });
  await close(await open());
  expect(await linesOf()).toEqual([
    {
      at: '2026-07-25T10:00:00.000Z',
      cursor: 42,
      what: 'tag.moved',
      who: 'ana',
      via: 'basic',
      address: '192.0.2.7',
      request_id: 'r1',
      user_agent: 'docker',
      repository: 'local',
      image: 'team/app',
      tag: 'v1',
      was: 'sha256:b',
      is: 'sha256:a',
    },
  ]);
  expect((await stat(file)).mode & 0o777).toBe(0o640);
});

it('a new file begins with the oldest change, and changes are written while the file is open', async () => {
  change(1200);
  await open();
  await eventually(async () => expect(await linesOf()).toHaveLength(1200));
  change(3);
  await eventually(async () => expect(await linesOf()).toHaveLength(1203));
  expect(numbersOf(await linesOf())).toEqual(entries.map(({ id }) => id));
});

it('notes and changes are written in the order of their times, and notes have the cursor of the change before', async () => {
  const audit = await open();
  change(1, start + 10);
  for (const ms of [5, 15]) {
    now = start + ms;
    audit.note(denied(`/${ms}`));
  }
  await close(audit);
  expect((await linesOf()).map(({ what, cursor, url }) => [what, cursor, url])).toEqual([
    ['request.denied', 0, '/5'],
    ['rule.created', 1, undefined],
    ['request.denied', 1, '/15'],
  ]);
});

it.each([
  { state: 'the whole last line', cut: 0 },
  { state: 'the last line without its newline', cut: 1 },
  { state: 'the beginning of the last line', cut: 40 },
  { state: 'no part of the last line but its first byte', cut: -1 },
])('each change is written exactly once after a process ended with $state', async ({ cut }) => {
  change(5);
  await close(await open());
  const text = await readFile(file, 'utf8');
  const lastLength = text.length - 1 - text.lastIndexOf('\n', text.length - 2);
  await truncate(file, cut < 0 ? text.length - lastLength + 1 : text.length - cut);
  change(2);
  await close(await open());
  expect(numbersOf(await linesOf())).toEqual(entries.map(({ id }) => id));
});

it('the file is rotated by size, and the next process continues after the last line', async () => {
  for (let round = 0; round < 6; round++) {
    change(40);
    await close(await open({ maxBytes: 4096 }));
  }
  const names = await readdir(folder);
  expect(names.length).toBeGreaterThan(5);
  for (const name of names) expect((await stat(path.join(folder, name))).size).toBeLessThanOrEqual(4096);
  expect(names).toContain('audit.jsonl.2026-07-25.10');
  expect(numbersOf(await allLines())).toEqual(entries.map(({ id }) => id));
});

it('a process that was killed between the rotation and the first line continues after the rotated file', async () => {
  change(3);
  await close(await open());
  await rename(file, `${file}.2026-07-25.1`);
  change(2);
  await close(await open());
  expect(numbersOf(await linesOf())).toEqual(entries.slice(3).map(({ id }) => id));
});

it('the file is rotated each day, and files older than keepDays are deleted', async () => {
  await writeFile(`${file}.backup`, 'not ours');
  const audit = await open({ keepDays: 3 });
  for (let i = 0; i < 6; i++) {
    now = start + i * day;
    change(1);
    await eventually(async () => expect(numbersOf(await linesOf())).toEqual([entries.at(-1)?.id]));
  }
  await close(audit);
  expect((await readdir(folder)).sort()).toEqual([
    'audit.jsonl',
    'audit.jsonl.2026-07-27.1',
    'audit.jsonl.2026-07-28.1',
    'audit.jsonl.2026-07-29.1',
    'audit.jsonl.backup',
  ]);
});

it('a batch over midnight is divided by day', async () => {
  change(2, start);
  change(2, start + day);
  now = start + day;
  await close(await open());
  expect(await linesOf(`${file}.2026-07-25.1`)).toHaveLength(2);
  expect(await linesOf()).toHaveLength(2);
});

it('while the file cannot be written, changes and notes wait, and are written later', async () => {
  const audit = await open();
  change(2);
  await eventually(async () => expect(await linesOf()).toHaveLength(2));
  await rm(file);
  await mkdir(file);
  change(1);
  audit.note(denied('/waits'));
  await eventually(() => expect(log.map(({ message }) => message)).toEqual(['audit file could not be written']));
  await rm(file, { recursive: true });
  await close(audit);
  expect((await linesOf()).map(({ what, id }) => id ?? what)).toEqual([entries[2]?.id, 'request.denied']);
  expect(log.map(({ message }) => message)).toEqual([
    'audit file could not be written',
    'audit file is writable again',
  ]);
});

it('notes that do not fit in memory are counted in the log and in the file', async () => {
  const audit = await open({ maxBytes: 10_000_000 });
  for (let i = 0; i < 10_020; i++) audit.note(denied(`/${i}`));
  await close(audit);
  const lines = await linesOf();
  expect(lines).toHaveLength(10_001);
  expect(lines.at(-1)).toMatchObject({ what: 'audit.dropped', lines: 20 });
  expect(log.map(({ message, fields }) => [message, fields])).toEqual([
    ['audit lines are being dropped', { waiting: 10_000 }],
    ['audit lines dropped', { dropped: 20 }],
  ]);
});

it('a login is noted although the last one seems to be in the future', async () => {
  const audit = await open();
  now = start + day;
  audit.login(ana);
  now = start;
  audit.login(ana);
  await close(audit);
  expect((await readFile(file, 'utf8')).match(/login\.succeeded/g)).toHaveLength(2);
});

it('a login is noted again after an hour, or from another address', async () => {
  const audit = await open();
  audit.login(ana);
  audit.login({ ...ana, requestId: 'r2' });
  audit.login({ ...ana, address: '192.0.2.8' });
  now += hour;
  audit.login(ana);
  await close(audit);
  expect((await linesOf()).map(({ what, at }) => [what, at.slice(11, 16)])).toEqual([
    ['login.succeeded', '10:00'],
    ['login.succeeded', '10:00'],
    ['login.succeeded', '11:00'],
  ]);
});

it('events that are not chosen leave no line', async () => {
  change(2);
  const audit = await open({ events: ['login'] });
  audit.note(denied('/'));
  audit.login(ana);
  await close(audit);
  expect((await linesOf()).map(({ what }) => what)).toEqual(['login.succeeded']);
});

it('an index whose last changes were lost continues from its own number', async () => {
  change(5);
  await close(await open());
  entries.splice(2);
  const audit = await open();
  entries.push({ seq: 4, at: now, type: 'rule.created', by: ana, id: 'after the loss' });
  await close(audit);
  expect((await linesOf()).at(-1)).toMatchObject({ cursor: 4, id: 'after the loss' });
});

it.each([
  { problem: 'its path is a folder', make: () => mkdir(file), message: 'is not a regular file' },
  {
    problem: 'it is a file of something else',
    make: () => writeFile(file, 'x\n'),
    message: 'does not end with a line',
  },
  {
    problem: 'a part of its path is a file',
    make: async () => {
      await writeFile(path.join(folder, 'file'), '');
      file = path.join(folder, 'file', 'audit.jsonl');
    },
    message: /EEXIST|ENOTDIR/,
  },
])('opening fails and changes nothing when $problem', async ({ make, message }) => {
  await make();
  await expect(open()).rejects.toThrow(message);
  await expect(open()).rejects.toMatchObject({ code: 'AUDIT_FILE_UNUSABLE' });
  if (file.endsWith('file/audit.jsonl')) expect(await readFile(path.dirname(file), 'utf8')).toBe('');
});

it('the folder of the file is created', async () => {
  file = path.join(folder, 'log', 'audit', 'audit.jsonl');
  change(1);
  await close(await open());
  expect(await linesOf()).toHaveLength(1);
});
