// What an application does with PostgreSQL's JDBC driver and HikariCP, each check on its own; the test reads the lines "ok NAME".
//
// The environment has libpq's PGHOST, PGPORT, PGUSER and PGDATABASE, and CONTEXTS: a JSON object from a user to
// their context token.

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Pattern;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.util.PSQLException;

public final class Drivers {

    interface Check {
        void run() throws Exception;
    }

    static final Map<String, String> CONTEXTS = new LinkedHashMap<>();
    static final String URL = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
        + System.getenv("PGDATABASE") + "?sslmode=disable";

    /** The start-up options that say who is calling. */
    static String options(String user) {
        return "-c bulkhead.context=" + CONTEXTS.get(user);
    }

    static Connection connect(String user) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("options", options(user));
        return DriverManager.getConnection(URL, properties);
    }

    public static void main(String[] arguments) throws Exception {
        var pairs = Pattern.compile("\"([^\"]+)\":\"([^\"]+)\"").matcher(System.getenv("CONTEXTS"));
        while (pairs.find()) CONTEXTS.put(pairs.group(1), pairs.group(2));
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("connect", Drivers::connects);
        checks.put("queries", Drivers::queries);
        checks.put("prepared", Drivers::prepared);
        checks.put("transactions", Drivers::transactions);
        checks.put("pipeline", Drivers::pipeline);
        checks.put("copy", Drivers::copies);
        checks.put("listen", Drivers::listens);
        checks.put("cancel", Drivers::cancels);
        checks.put("errors", Drivers::recovers);
        checks.put("binary", Drivers::binary);
        checks.put("big rows", Drivers::bigRows);
        checks.put("pool", Drivers::pool);
        for (var check : checks.entrySet()) {
            check.getValue().run();
            System.out.println("ok " + check.getKey());
        }
        System.exit(0);
    }

    static void connects() throws Exception {
        try (Connection alice = connect("alice")) {
            same(value(alice, "SELECT current_setting('app.user_id')"), "alice");
            same(alice.isValid(5), true);
            same(alice.getMetaData().getDatabaseMajorVersion() > 9, true);
        }
        CONTEXTS.put("mallory", "forged");
        fails("28000", () -> connect("mallory"));
        CONTEXTS.remove("mallory");
    }

    static void queries() throws Exception {
        try (Connection alice = connect("alice"); Statement statement = alice.createStatement()) {
            try (var select = alice.prepareStatement("SELECT id, name FROM things WHERE id <= ? ORDER BY id")) {
                select.setInt(1, 3);
                ResultSet rows = select.executeQuery();
                for (int n = 1; n <= 3; n++) {
                    same(rows.next(), true);
                    same(rows.getString("name"), "thing " + n);
                }
            }
            statement.execute("SELECT 1; SELECT 2");
            same(statement.getMoreResults(), true);
            ResultSet second = statement.getResultSet();
            same(second.next() ? second.getInt(1) : 0, 2);
            // A cursor: rows in parts, in a transaction.
            alice.setAutoCommit(false);
            statement.setFetchSize(100);
            int count = 0;
            for (ResultSet rows = statement.executeQuery("SELECT n FROM generate_series(1, 1000) n"); rows.next(); ) count++;
            same(count, 1000);
            alice.commit();
        }
    }

    static void prepared() throws Exception {
        try (Connection one = connect("alice"); Connection two = connect("alice");
            var sum = one.prepareStatement("SELECT ?::int + 1"); var text = two.prepareStatement("SELECT ?::text || '!'")) {
            // From the second execution on the driver has named statements, S_1 on both connections.
            sum.unwrap(PGStatement.class).setPrepareThreshold(2);
            text.unwrap(PGStatement.class).setPrepareThreshold(2);
            for (int turn = 0; turn < 20; turn++) {
                sum.setInt(1, turn);
                same(first(sum.executeQuery()), turn + 1);
                text.setString(1, "" + turn);
                same(first(text.executeQuery()), turn + "!");
            }
            same(sum.unwrap(PGStatement.class).isUseServerPrepare(), true);
            // The driver knows what this does, and prepares anew.
            one.createStatement().execute("DEALLOCATE ALL");
            sum.setInt(1, 41);
            same(first(sum.executeQuery()), 42);
            one.createStatement().execute("DISCARD ALL");
            same(first(sum.executeQuery()), 42);
        }
    }

    static void transactions() throws Exception {
        try (Connection alice = connect("alice"); Statement statement = alice.createStatement()) {
            long before = (Long) value(alice, "SELECT count(*) FROM notes");
            alice.setAutoCommit(false);
            statement.executeUpdate("INSERT INTO notes (owner, body) VALUES ('alice', 'kept')");
            var here = alice.setSavepoint();
            statement.executeUpdate("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')");
            fails("22012", () -> statement.execute("SELECT 1 / 0"));
            alice.rollback(here);
            alice.commit();
            statement.executeUpdate("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')");
            alice.rollback();
            same(value(alice, "SELECT count(*) FROM notes"), before + 1);
            alice.commit();
            alice.setReadOnly(true);
            alice.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            fails("25006", () -> statement.execute("INSERT INTO notes (owner, body) VALUES ('alice', 'read only')"));
            alice.rollback();
            same(value(alice, "SHOW transaction_isolation"), "serializable");
            alice.rollback();
        }
    }

    static void pipeline() throws Exception {
        try (Connection alice = connect("alice");
            var insert = alice.prepareStatement("INSERT INTO things VALUES (?, ?)")) {
            for (int n = 0; n < 1000; n++) {
                insert.setInt(1, 20_000 + n);
                insert.setString(2, "x".repeat(n % 100));
                insert.addBatch();
            }
            same(Arrays.stream(insert.executeBatch()).sum(), 1000);
            for (int id : new int[] {30_000, 1, 30_001}) {
                insert.setInt(1, id);
                insert.addBatch();
            }
            fails("23505", insert::executeBatch);
            same(value(alice, "SELECT count(*) FROM things WHERE id >= 30000"), 0L);
            alice.createStatement().execute("DELETE FROM things WHERE id >= 20000");
        }
    }

    static void copies() throws Exception {
        try (Connection alice = connect("alice")) {
            var copy = alice.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder lines = new StringBuilder();
            for (int n = 0; n < 5000; n++) lines.append(10_000 + n).append('\t').append("x".repeat(n % 100)).append('\n');
            same(copy.copyIn("COPY things FROM STDIN", new StringReader(lines.toString())), 5000L);
            var out = new ByteArrayOutputStream();
            same(copy.copyOut("COPY (SELECT id FROM things WHERE id >= 10000) TO STDOUT", out), 5000L);
            same(out.toString().lines().count(), 5000L);
            fails("22P02", () -> copy.copyIn("COPY things FROM STDIN", new StringReader("no number\tx\n")));
            var given = copy.copyIn("COPY things FROM STDIN");
            given.writeToCopy("1\tx\n".getBytes(), 0, 4);
            given.cancelCopy();
            alice.createStatement().execute("DELETE FROM things WHERE id >= 10000");
        }
    }

    static void listens() throws Exception {
        try (Connection listener = connect("alice"); Connection speaker = connect("alice")) {
            listener.createStatement().execute("LISTEN news");
            speaker.createStatement().execute("SELECT pg_notify('news', 'hello')");
            var heard = listener.unwrap(PGConnection.class).getNotifications(10_000);
            same(heard[0].getName() + " " + heard[0].getParameter(), "news hello");
            listener.createStatement().execute("UNLISTEN *");
            same(value(listener, "SELECT 1"), 1);
        }
    }

    static void cancels() throws Exception {
        try (Connection alice = connect("alice"); Connection watcher = connect("alice");
            Statement sleeper = alice.createStatement()) {
            var threads = Executors.newSingleThreadExecutor();
            Future<?> ended = threads.submit(() -> {
                fails("57014", () -> sleeper.execute("SELECT pg_sleep(30)"));
                return null;
            });
            String asleep = "SELECT count(*) FROM pg_stat_activity "
                + "WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(30)'";
            while (!value(watcher, asleep).equals(1L)) Thread.sleep(5);
            sleeper.cancel();
            ended.get();
            sleeper.setQueryTimeout(1);
            fails("57014", () -> sleeper.execute("SELECT pg_sleep(30)"));
            same(value(alice, "SELECT 1"), 1);
            threads.shutdown();
        }
    }

    static void recovers() throws Exception {
        try (Connection alice = connect("alice"); Statement statement = alice.createStatement()) {
            for (int turn = 0; turn < 3; turn++) {
                fails("23505", () -> statement.execute("INSERT INTO things VALUES (1, 'again')"));
                var refused = fails("BH042", () -> statement.execute("SELECT refuse()"));
                same(refused.getServerErrorMessage().getHint(), "ask again");
                alice.setAutoCommit(false);
                fails("42601", () -> statement.execute("no SQL"));
                fails("25P02", () -> statement.execute("SELECT 1"));
                alice.rollback();
                alice.setAutoCommit(true);
                fails("42501", () -> statement.execute("INSERT INTO notes (owner, body) VALUES ('bob', 'stolen')"));
            }
            // A column that changes its type under a statement that the driver has named; it prepares anew by itself.
            statement.execute("CREATE TABLE shifting AS SELECT 7 AS a");
            try (Connection other = connect("alice"); var select = alice.prepareStatement("SELECT a FROM shifting")) {
                select.unwrap(PGStatement.class).setPrepareThreshold(1);
                same(first(select.executeQuery()), 7);
                other.createStatement().execute("ALTER TABLE shifting ALTER a TYPE text");
                same(first(select.executeQuery()), "7");
            }
            statement.execute("DROP TABLE shifting");
        }
    }

    static void binary() throws Exception {
        byte[] bytes = new byte[256];
        for (int n = 0; n < bytes.length; n++) bytes[n] = (byte) n;
        var moment = OffsetDateTime.parse("2026-02-28T23:59:59.123456Z");
        var number = new BigDecimal("-12345678.90123");
        var uuid = UUID.fromString("01020300-0000-0000-0000-0000000000ff");
        try (Connection alice = connect("alice");
            var select = alice.prepareStatement(
                "SELECT ?::bytea, ?::timestamptz, ?::numeric, ?::uuid, ?::int[], ?::text, ?::float8, ?::int8")) {
            // The first turns are text, the later ones binary both ways.
            select.unwrap(PGStatement.class).setPrepareThreshold(2);
            for (int turn = 0; turn < 5; turn++) {
                select.setBytes(1, bytes);
                select.setObject(2, moment);
                select.setBigDecimal(3, number);
                select.setObject(4, uuid);
                select.setArray(5, alice.createArrayOf("int4", new Integer[] {1, -2, Integer.MAX_VALUE}));
                select.setString(6, null);
                select.setDouble(7, Double.NEGATIVE_INFINITY);
                select.setLong(8, Long.MIN_VALUE);
                ResultSet row = select.executeQuery();
                same(row.next(), true);
                same(Arrays.equals(row.getBytes(1), bytes), true);
                same(row.getObject(2, OffsetDateTime.class).toInstant(), moment.toInstant());
                same(row.getBigDecimal(3), number);
                same(row.getObject(4), uuid);
                same(Arrays.toString((Integer[]) row.getArray(5).getArray()), "[1, -2, 2147483647]");
                same(row.getString(6), null);
                same(row.getDouble(7), Double.NEGATIVE_INFINITY);
                same(row.getLong(8), Long.MIN_VALUE);
            }
        }
    }

    static void bigRows() throws Exception {
        try (Connection alice = connect("alice"); var length = alice.prepareStatement("SELECT length(?::text)")) {
            String big = (String) value(alice, "SELECT repeat('long ', 4000000)");
            same(big.length(), 20_000_000);
            length.setString(1, big);
            same(first(length.executeQuery()), big.length());
            long sum = 0;
            ResultSet rows = alice.createStatement().executeQuery("SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n");
            while (rows.next()) sum += rows.getInt(1);
            same(sum, 5_000_050_000L);
        }
    }

    /** A pool for each user, and all work at once: a row that anybody reads is theirs. */
    static void pool() throws Exception {
        List<HikariDataSource> pools = new ArrayList<>();
        List<Callable<Void>> work = new ArrayList<>();
        for (String user : CONTEXTS.keySet()) {
            HikariConfig config = new HikariConfig();
            config.setJdbcUrl(URL);
            config.setUsername(System.getenv("PGUSER"));
            config.addDataSourceProperty("options", options(user));
            config.setMaximumPoolSize(3);
            config.setMinimumIdle(0);
            HikariDataSource pool = new HikariDataSource(config);
            pools.add(pool);
            try (Connection cleaner = pool.getConnection()) {
                cleaner.createStatement().execute("DELETE FROM notes");
            }
            for (int worker = 0; worker < 3; worker++) work.add(() -> notes(pool, user));
        }
        var threads = Executors.newFixedThreadPool(work.size());
        for (Future<Void> done : threads.invokeAll(work)) done.get();
        threads.shutdown();
        for (HikariDataSource pool : pools) {
            try (Connection counter = pool.getConnection()) {
                same(value(counter, "SELECT count(*) FROM notes"), 30L);
            }
            pool.close();
        }
    }

    static Void notes(HikariDataSource pool, String user) throws Exception {
        for (int turn = 0; turn < 10; turn++) {
            try (Connection connection = pool.getConnection();
                var insert = connection.prepareStatement("INSERT INTO notes (owner, body) VALUES (?, 'x')")) {
                connection.setAutoCommit(false);
                insert.setString(1, user);
                insert.executeUpdate();
                connection.commit();
                ResultSet rows = connection.createStatement().executeQuery("SELECT owner, current_setting('app.user_id') FROM notes");
                while (rows.next()) {
                    same(rows.getString(1), user);
                    same(rows.getString(2), user);
                }
                connection.commit();
            }
        }
        return null;
    }

    static Object value(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return first(statement.executeQuery(sql));
        }
    }

    static Object first(ResultSet rows) throws SQLException {
        same(rows.next(), true);
        return rows.getObject(1);
    }

    /** Holds what is done to failing with an SQLSTATE. */
    static PSQLException fails(String sqlstate, Check what) throws Exception {
        try {
            what.run();
        } catch (SQLException error) {
            for (SQLException cause = error; cause != null; cause = cause.getNextException()) {
                if (sqlstate.equals(cause.getSQLState()) && cause instanceof PSQLException found) return found;
            }
            throw error;
        }
        throw new AssertionError(sqlstate + " was expected");
    }

    static void same(Object got, Object wanted) {
        if (!Objects.equals(got, wanted)) throw new AssertionError(got + ", not " + wanted);
    }
}
