import { expect, it } from 'vitest';
import { WorkLine } from '../../../src/command/backup/work-line.js';

function terminal(isTTY: boolean) {
  const written: string[] = [];
  return { written, isTTY, columns: 60, write: (text: string) => void written.push(text) };
}

it('a terminal shows the progress of work in one line, at most ten times a second', () => {
  const sink = terminal(true);
  let now = 0;
  const line = new WorkLine(sink, () => now);
  for (now of [1000, 1050, 1099, 1100]) line.show({ phase: 'blobs', done: 1, bytes: now * 1024, totalBytes: 2048_000 });
  line.end();
  expect(sink.written).toHaveLength(3);
  expect(sink.written[0]).toBe('\rblobs  [#####     ]  50 %  1000 KiB of 1.95 MiB  1000 KiB/s\u001b[K');
  expect(sink.written[2]).toBe('\r\u001b[K');
});

it('a file gets no progress', () => {
  const sink = terminal(false);
  const line = new WorkLine(sink);
  line.show({ phase: 'index', done: 1, bytes: 1 });
  line.end();
  expect(sink.written).toEqual([]);
});
