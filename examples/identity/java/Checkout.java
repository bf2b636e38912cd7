// Requests share a pool, and each transaction begins by saying whose it is.
//
// HikariCP over PostgreSQL's JDBC driver. Each line of the input is one request's token.

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.concurrent.Executors;

public final class Checkout {
    static HikariDataSource pool() {
        var config = new HikariConfig();
        config.setJdbcUrl("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"));
        config.setUsername(System.getenv("PGUSER"));
        config.setMaximumPoolSize(4);
        config.setAutoCommit(false); // a transaction for each request
        return new HikariDataSource(config);
    }

    static Connection as(HikariDataSource pool, String token) throws SQLException {
        Connection connection = pool.getConnection();
        try (var say = connection.prepareStatement("SELECT set_config('bulkhead.context', ?, true)")) {
            say.setString(1, token);
            say.execute();
            return connection;
        } catch (SQLException error) {
            connection.close();
            throw error;
        }
    }

    static String handle(HikariDataSource pool, String token) throws SQLException {
        try (Connection connection = as(pool, token); Statement statement = connection.createStatement()) {
            statement.execute("INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'hello')");
            var owners = new StringBuilder();
            for (var rows = statement.executeQuery("SELECT DISTINCT owner FROM notes"); rows.next(); ) owners.append(rows.getString(1));
            connection.commit();
            return owners.toString();
        }
    }

    public static void main(String[] arguments) throws Exception {
        var threads = Executors.newFixedThreadPool(4);
        try (HikariDataSource pool = pool()) {
            var requests = new BufferedReader(new InputStreamReader(System.in)).lines();
            for (var answer : requests.map(token -> threads.submit(() -> handle(pool, token))).toList()) System.out.println(answer.get());
        }
        threads.shutdown();
    }
}
