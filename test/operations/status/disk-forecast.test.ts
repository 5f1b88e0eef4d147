import { describe, expect, it } from 'vitest';
import { daysUntilFull, type Growth } from '../../../src/operations/status/disk-forecast.js';
import type { RepositorySample, Sample } from '../../../src/ports/operations/monitoring.js';

const dayMs = 86_400_000;
const now = 1000 * dayMs + dayMs / 2;
const none: RepositorySample = { pulls: 0, pushes: 0, hit: 0, miss: 0, stale: 0, upstreamBytes: 0 };

/** One sample a day, of the days before today, as the sizes of one repository. */
function days(...sizes: readonly (number | undefined)[]): readonly Sample[] {
  return sizes.map((bytes, index) => ({
    at: (1000 - sizes.length + index) * dayMs,
    repositories: { local: bytes === undefined ? none : { ...none, bytes } },
  }));
}

const growing = days(100, 110, 120, 130, 140);
const growth = (more: Partial<Growth>): Growth => {
  return { samples: growing, now, freeBytes: 400, storedBytes: 140, ...more };
};

describe('daysUntilFull', () => {
  it.each<readonly [title: string, growth: Growth, days: number | undefined]>([
    ['growth of 10 a day with 400 free', growth({}), 40],
    ['growth in steps', growth({ samples: days(100, 100, 120, 120, 140, 140, 160), storedBytes: 160 }), 40],
    ['growth with a deletion in between', growth({ samples: days(100, 200, 110, 120, 230), storedBytes: 230 }), 22],
    ['a full disk', growth({ freeBytes: 0 }), 0],
    ['images that share half of their layers', growth({ storedBytes: 70 }), 80],
    ['content that no image has', growth({ storedBytes: 900 }), 40],
    ['several repositories', growth({ samples: growing.map(withOther), storedBytes: 1000 }), 20],
    ['days without a count in between', growth({ samples: days(100, undefined, undefined, 130, 140) }), 40],
    ['an incomplete day', growth({ samples: [...growing, today(145)], storedBytes: 145 }), 40],
    ['growth before the last 14 days', growth({ samples: days(...sizes(20, 100), ...sizes(15, 0, 2000)) }), undefined],
    [
      'growth within the last 14 days only',
      growth({ samples: days(...sizes(20, 0, 5), ...sizes(15, 10)), storedBytes: 240 }),
      40,
    ],
    ['no growth', growth({ samples: days(100, 100, 100, 100, 100) }), undefined],
    ['a registry that shrinks', growth({ samples: days(140, 130, 120, 110, 100) }), undefined],
    ['growth that takes more than ten years', growth({ freeBytes: 40_000 }), undefined],
    ['two days', growth({ samples: days(100, 110, 120) }), undefined],
    ['three days', growth({ samples: days(100, 110, 120, 130) }), 40],
    ['one day', growth({ samples: days(100) }), undefined],
    ['no history', growth({ samples: [] }), undefined],
    ['a history without sizes', growth({ samples: days(undefined, undefined, undefined, undefined) }), undefined],
    ['an empty registry', growth({ samples: days(0, 0, 0, 0, 0), storedBytes: 0 }), undefined],
  ])('handles %s', (_title, given, expected) => {
    expect(daysUntilFull(given)).toBe(expected);
  });
});

/** Returns `count` sizes that grow. */
function sizes(count: number, perDay: number, first = 100): readonly number[] {
  return Array.from({ length: count }, (_, day) => first + day * perDay);
}

function withOther({ at, repositories }: Sample, index: number): Sample {
  return { at, repositories: { ...repositories, other: { ...none, bytes: 10 * index } } };
}

function today(bytes: number): Sample {
  return { at: 1000 * dayMs, repositories: { local: { ...none, bytes } } };
}
