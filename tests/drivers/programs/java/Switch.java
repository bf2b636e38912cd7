// HikariCP over PostgreSQL's JDBC driver, with transactions that say whose they are: users switch at random, and every row is the
// asking user's.
//
// The environment has libpq's PGHOST, PGPORT, PGUSER and PGDATABASE, and CONTEXTS: a JSON object from a user to their context token.
// Each user has one row in notes.

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Pattern;

public final class Switch {
    static final String OWN = "SELECT owner, current_setting('app.user_id') FROM notes WHERE body <> ?";
    static final Map<String, String> CONTEXTS = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        var pairs = Pattern.compile("\"([^\"]+)\":\"([^\"]+)\"").matcher(System.getenv("CONTEXTS"));
        while (pairs.find()) CONTEXTS.put(pairs.group(1), pairs.group(2));
        var config = new HikariConfig();
        config.setJdbcUrl("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"));
        config.setUsername(System.getenv("PGUSER"));
        config.setMaximumPoolSize(4);
        List<Callable<Void>> workers = new ArrayList<>();
        try (HikariDataSource pool = new HikariDataSource(config)) {
            for (int seed = 0; seed < 4; seed++) {
                Random dice = new Random(seed);
                workers.add(() -> work(pool, dice));
            }
            var threads = Executors.newFixedThreadPool(4);
            for (Future<Void> done : threads.invokeAll(workers)) done.get();
            threads.shutdown();
        }
        System.out.println("done");
    }

    static Void work(HikariDataSource pool, Random dice) throws SQLException {
        List<String> users = new ArrayList<>(CONTEXTS.keySet());
        for (int turn = 0; turn < 250; turn++) {
            String user = users.get(dice.nextInt(users.size()));
            try (Connection connection = pool.getConnection()) {
                if (dice.nextBoolean()) inTransaction(connection, user, dice.nextBoolean());
                else alone(connection, user);
            }
            try (Connection connection = pool.getConnection()) {
                forgets(connection);
            }
        }
        return null;
    }

    /** Says whose the work is in a transaction, which holds until its end. */
    static void inTransaction(Connection connection, String user, boolean keep) throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement say = connection.prepareStatement("SELECT set_config('bulkhead.context', ?, true)")) {
            say.setString(1, CONTEXTS.get(user));
            say.execute();
        }
        right(connection, user);
        right(connection, user);
        if (keep) connection.commit();
        else connection.rollback();
        connection.setAutoCommit(true);
    }

    /** Says it outside of one, which holds for the next statement. */
    static void alone(Connection connection, String user) throws SQLException {
        try (Statement say = connection.createStatement()) {
            say.execute("SET bulkhead.context = '" + CONTEXTS.get(user) + "'");
        }
        right(connection, user);
    }

    /** Says nothing: an error, and never the rows of whoever came before. */
    static void forgets(Connection connection) throws SQLException {
        try {
            right(connection, "nobody");
        } catch (SQLException error) {
            if (error.getSQLState().equals("28000")) return;
            throw error;
        }
        throw new AssertionError("somebody's rows, and nobody has asked");
    }

    static void right(Connection connection, String user) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement(OWN)) {
            select.setString(1, "x");
            var rows = select.executeQuery();
            if (!rows.next() || !rows.getString(1).equals(user) || !rows.getString(2).equals(user) || rows.next())
                throw new AssertionError(user + " does not see their own row alone");
        }
    }
}
