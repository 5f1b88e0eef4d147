import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { TagMoveDocument } from '../../../../src/protocol/documents/images.js';
import { get, imagePath, send } from '../../api.ts';
import { imageHref, type ImageName } from '../../image-links.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table } from '../../parts/table.tsx';
import { Digest, When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';

interface HistoryProps {
  readonly name: ImageName;
  readonly tag: string;
  readonly onMoved: () => void;
}

/** The moves of a tag, from which an earlier digest can be restored. */
export function History({ name, tag, onMoved }: HistoryProps): VNode {
  const path = imagePath(name.repository, name.image);
  const answer = useAnswer(
    (signal) => get<{ readonly moves: readonly TagMoveDocument[] }>(`${path}/history`, { tag, n: 100 }, signal),
    [path, tag],
  );
  const [restored, setRestored] = useState<string | undefined>(undefined);
  const current = answer.value?.moves[0]?.digest ?? null;
  const restore = async (digest: string): Promise<void> => {
    await send('POST', `${path}/tag`, { tag, reference: digest, expected: current });
    announce(`Tag ${tag} names ${digest.slice(7, 19)} again`);
    setRestored(undefined);
    answer.reload();
    onMoved();
  };
  return (
    <>
      <Answered answer={answer} what="The history could not be read">
        {({ moves }) =>
          moves.length === 0 ? (
            <Empty>The tag has not moved.</Empty>
          ) : (
            <MoveTable name={name} moves={moves} current={current} onRestore={setRestored} />
          )
        }
      </Answered>
      {restored === undefined ? undefined : (
        <DialogForm
          title={`Restore tag ${tag}?`}
          submit="Restore"
          what="The tag could not be restored"
          onSubmit={() => restore(restored)}
          onClose={() => setRestored(undefined)}
        >
          <p>
            Tag {tag} will name <Digest value={restored} /> again. Clients get it with their next pull.
          </p>
        </DialogForm>
      )}
    </>
  );
}

function MoveTable({
  name,
  moves,
  current,
  onRestore,
}: {
  readonly name: ImageName;
  readonly moves: readonly TagMoveDocument[];
  readonly current: string | null;
  readonly onRestore: (digest: string) => void;
}): VNode {
  return (
    <Table
      caption="Moves of the tag"
      rows={moves}
      keyOf={({ move }) => String(move)}
      columns={[
        { key: 'at', title: 'When', cell: ({ at }) => <When at={at} /> },
        {
          key: 'digest',
          title: 'To',
          cell: ({ digest, present }) =>
            digest === null ? (
              <span class="faint">deleted</span>
            ) : (
              <Digest value={digest} href={present ? imageHref(name, { reference: digest }) : undefined} />
            ),
        },
        { key: 'by', title: 'By', isWide: true, cell: ({ by }) => by.principal },
        {
          key: 'restore',
          title: 'Restore',
          cell: ({ digest, present }) => {
            if (digest === null) return undefined;
            if (digest === current) return <span class="badge good">current</span>;
            if (!present) return <span class="faint">gone</span>;
            return (
              <button type="button" aria-label={`Restore ${digest.slice(7, 19)}`} onClick={() => onRestore(digest)}>
                <Icon name="undo" /> Restore
              </button>
            );
          },
        },
      ]}
    />
  );
}
